"""Why a server refused a connection, whatever language it speaks.

libpq hands on a refusal as the server words it, in the language of the server's `lc_messages`, and without its
SQLSTATE. That stands in the protocol all the same, which libpq can trace.
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
    """A server's answer to an attempt to connect.

    Attributes:
        sqlstate: its code; 00000 (successful completion) where it accepts.
        encrypted: whether the connection was encrypted when it was refused.
    """

    sqlstate: str
    encrypted: bool


def ask_why(conninfo: str, *, seconds: float = 10.0) -> Refusal | None:
    """Try to connect once more, and listen for the reason of a refusal.

    Args:
        conninfo: the connection string that was refused.
        seconds: how long to wait.

    Returns:
        The answer. None where it is not the server that refuses, or it does not answer in time, and where libpq cannot
        trace (on other systems than Linux).
    """
    attempt = pq.PGconn.connect_start(conninfo.encode())
    # In memory, and read by nobody else: it holds what was sent, which may be a password.
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
    except psycopg.Error:  # of a trace that is not supported, or a socket that is gone
        return None
    finally:
        attempt.finish()
        if trace >= 0:
            os.close(trace)


def _poll(attempt: PGconn, deadline: float) -> bool:
    """Drive a connection attempt to its end; return whether it was encrypted on the way."""
    encrypted = False
    while (state := attempt.connect_poll()) not in {pq.PollingStatus.OK, pq.PollingStatus.FAILED}:
        encrypted = encrypted or attempt.ssl_in_use
        remaining = deadline - time.monotonic()
        reading, writing = ([attempt.socket], []) if state == pq.PollingStatus.READING else ([], [attempt.socket])
        if remaining <= 0 or not any(select.select(reading, writing, [], remaining)):
            break
    return encrypted
