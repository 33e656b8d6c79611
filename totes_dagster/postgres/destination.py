"""Where libpq would connect to, however it was written: in the URL, in a service file, or in the environment."""

import ipaddress
import os
from collections.abc import Mapping
from contextlib import suppress

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo


def effective_options(conninfo: str) -> dict[str, str]:
    """What libpq makes of a connection string: its options, then those of its service, the environment, and defaults.

    An option that makes no sense is left out here; connecting reports it.
    """
    given = {name: str(value) for name, value in conninfo_to_dict(conninfo).items() if value is not None}
    if given.get("service") or os.environ.get("PGSERVICE"):
        # Only libpq knows where its service files are. It reads them, and then refuses to connect anywhere.
        attempt = pq.PGconn.connect_start(make_conninfo(conninfo, target_session_attrs="nonsense").encode())
        try:
            options = attempt.info
        finally:
            attempt.finish()
    else:
        options = []
        with suppress(MemoryError, psycopg.Error):  # what libpq answers where a default makes no sense
            options = pq.Conninfo.get_defaults()
    return {option.keyword.decode(): option.val.decode() for option in options if option.val} | given


def is_remote(options: Mapping[str, str]) -> bool:
    """Whether options of libpq name another machine than this one, by at least one of their hosts."""
    hosts, addresses = options.get("host", "").split(","), options.get("hostaddr", "").split(",")
    if len(addresses) > len(hosts):
        hosts += [""] * (len(addresses) - len(hosts))
    addresses += [""] * (len(hosts) - len(addresses))
    return any(not _is_here(address or host) for host, address in zip(hosts, addresses, strict=True))


def _is_here(host: str) -> bool:
    if not host or host.startswith(("/", "@")) or host == "localhost":  # nothing, or a Unix socket
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
