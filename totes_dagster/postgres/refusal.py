"""Finding out why a server refused a connection, whatever the language of its messages.

libpq reports only the message of a refusal, in the language of the server's `lc_messages`, and not its SQLSTATE. The
SQLSTATE is part of the protocol, though, which libpq can trace.
"""

import os
import re
import select
import time
from dataclasses import dataclass

import psycopg
from psycopg import pq
from psycopg.pq.abc import PGconn

_REFUSED = re.compile(rb'\tErrorResponse\t.*? C "([0-9A-Z]{5})"')


@dataclass(frozen=True)
class Refusal:
    """A server's response to an attempt to connect.

    Attributes:
        sqlstate: its SQLSTATE; 00000 (successful completion) if the server accepted the connection.
        encrypted: whether the connection was encrypted when it was refused.
    """

    sqlstate: str
    encrypted: bool


def probe_refusal(conninfo: str, *, seconds: float = 10.0) -> Refusal | None:
    """Try to connect once more, and get the SQLSTATE of the refusal from a trace of the protocol.

    Args:
        conninfo: the connection string that was refused.
        seconds: how long to wait.

    Returns:
        The server's response. None if the server itself did not refuse the connection or did not respond in time, or if
        libpq cannot write a trace (on systems other than Linux).
    """
    attempt = pq.PGconn.connect_start(conninfo.encode())
    # In memory, where no other process can read it: the trace contains what was sent, possibly a password.
    trace = os.memfd_create("refusal") if hasattr(os, "memfd_create") else -1
    try:
        if trace < 0 or attempt.status == pq.ConnStatus.BAD:
            return None
        attempt.trace(trace)
        encrypted = _poll(attempt, time.monotonic() + seconds)
        attempt.untrace()
        if attempt.status == pq.ConnStatus.OK:
            return Refusal("00000", encrypted)
        codes = _REFUSED.findall(os.pread(trace, os.fstat(trace).st_size, 0))
        return Refusal(codes[-1].decode(), encrypted) if codes else None
    except psycopg.Error:  # tracing is not supported, or the socket is closed
        return None
    finally:
        attempt.finish()
        if trace >= 0:
            os.close(trace)


def _poll(attempt: PGconn, deadline: float) -> bool:
    """Poll a connection attempt until it ends; return whether it was encrypted at any time."""
    encrypted = False
    while (state := attempt.connect_poll()) not in {pq.PollingStatus.OK, pq.PollingStatus.FAILED}:
        encrypted = encrypted or attempt.ssl_in_use
        remaining = deadline - time.monotonic()
        reading, writing = ([attempt.socket], []) if state == pq.PollingStatus.READING else ([], [attempt.socket])
        if remaining <= 0 or not any(select.select(reading, writing, [], remaining)):
            break
    return encrypted
