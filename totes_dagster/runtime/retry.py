"""Retries after transient errors; every other error is raised at once.

Which errors are transient is declared in `errors.py`; which work is retried is decided in `pipeline.py` and
`feed_pipeline.py`.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import tenacity

from totes_dagster.config.settings import retry_seconds
from totes_dagster.errors import TotesError

logger = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True)
class Backoff:
    """How long to wait between attempts: exponentially longer, with jitter, in seconds.

    Attributes:
        first: the wait before the second attempt.
        longest: the longest wait before any other.
        patience: no attempt begins later than this after the first failure. It is counted from that failure, so that
            work that ran for an hour is retried as well. It includes the attempts, so that one that hangs is not
            retried for ever.
        attempts: the most attempts; None if only patience limits them.
    """

    first: float = 0.5
    longest: float = 8.0
    patience: float = 25.0
    attempts: int | None = None


def retried(what: str, work: Callable[[], T], backoff: Backoff | None = None) -> T:
    """Do some work, and repeat it while it fails because of a transient error.

    If an error says how long to wait, in seconds, as its fact `retry_after`, no wait is shorter. Work that would have
    to wait for longer than patience allows fails at once.

    Args:
        what: the work's name, which begins a sentence in the log.
        work: what to do. It must be idempotent: a failed attempt may have done it.
        backoff: how long to wait; by default as `Backoff` says, with the patience that `TOTES_RETRY_SECONDS` sets.

    Returns:
        What the work returns.

    Raises:
        TotesError: the first permanent error, or the last transient one.
    """
    waits = backoff or Backoff(patience=retry_seconds(default=Backoff.patience))
    exponential = tenacity.wait_exponential(waits.first, waits.longest) + tenacity.wait_random(0, waits.first)
    failed_at: list[float] = []

    def wait(state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = error.facts.get("retry_after") if isinstance(error, TotesError) else None
        return max(exponential(state), asked) if isinstance(asked, int | float) else exponential(state)

    def is_exhausted(state: tenacity.RetryCallState) -> bool:
        now = time.monotonic()
        failed_at.append(now)
        if waits.attempts is not None and state.attempt_number >= waits.attempts:
            return True
        return now + state.upcoming_sleep - failed_at[0] > waits.patience

    def log_retry(state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        logger.warning(
            "%s failed, trying again in %.1f s. %s: %s", what, state.upcoming_sleep, type(error).__name__, error
        )

    return tenacity.Retrying(
        retry=tenacity.retry_if_exception(lambda error: isinstance(error, TotesError) and error.transient),
        wait=wait,
        stop=is_exhausted,
        before_sleep=log_retry,
        reraise=True,
    )(work)
