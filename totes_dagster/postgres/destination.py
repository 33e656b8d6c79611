"""Where libpq would connect to, according to the URL, the service file and the environment."""

import ipaddress
import os
from collections.abc import Mapping
from contextlib import suppress

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo


def effective_options(conninfo: str) -> dict[str, str]:
    """The options that libpq would use for a connection string.

    They come from the string itself, its service, the environment, and libpq's defaults, in this order. Invalid options
    are left out here; connecting reports them.
    """
    given = {name: str(value) for name, value in conninfo_to_dict(conninfo).items() if value is not None}
    if given.get("service") or os.environ.get("PGSERVICE"):
        # Only libpq knows where its service files are. This makes it read them, but refuse to connect.
        attempt = pq.PGconn.connect_start(make_conninfo(conninfo, target_session_attrs="nonsense").encode())
        try:
            options = attempt.info
        finally:
            attempt.finish()
    else:
        options = []
        with suppress(MemoryError, psycopg.Error):  # raised if a default is not valid
            options = pq.Conninfo.get_defaults()
    return {option.keyword.decode(): option.val.decode() for option in options if option.val} | given


def is_remote(options: Mapping[str, str]) -> bool:
    """Whether at least one of the hosts in libpq's options is not this machine."""
    hosts, addresses = options.get("host", "").split(","), options.get("hostaddr", "").split(",")
    if len(addresses) > len(hosts):
        hosts += [""] * (len(addresses) - len(hosts))
    addresses += [""] * (len(hosts) - len(addresses))
    return any(not _is_local(address or host) for host, address in zip(hosts, addresses, strict=True))


def _is_local(host: str) -> bool:
    if not host or host.startswith(("/", "@")) or host == "localhost":  # the default, or a Unix socket
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
