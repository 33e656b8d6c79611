"""Repeating work that failed of something that may pass; everything else fails at once."""

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
        first: before the second attempt.
        longest: before any other.
        patience: no attempt begins later than this after the first failure. Counted from there, so that also work
            that went on for an hour is tried again; with the attempts, so that what hangs does not hang for ever.
    """

    first: float = 0.5
    longest: float = 8.0
    patience: float = 25.0


def retried(what: str, work: Callable[[], T], backoff: Backoff | None = None) -> T:
    """Do some work, again and again while it fails of a transient error.

    Args:
        what: the work's name, which begins a sentence in the log.
        work: what to do; it must be right to do it again, whether or not it was done before it failed.
        backoff: how long to wait; the usual, unless given, with the patience that `TOTES_RETRY_SECONDS` says.

    Raises:
        TotesError: the first permanent one, or the last transient one.
    """
    waits = backoff or Backoff(patience=retry_seconds(unless_set=Backoff.patience))
    failed_at: list[float] = []

    def is_over(state: tenacity.RetryCallState) -> bool:
        now = time.monotonic()
        failed_at.append(now)
        return now + state.upcoming_sleep - failed_at[0] > waits.patience

    def say(state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        logger.warning(
            "%s failed, trying again in %.1f s. %s: %s", what, state.upcoming_sleep, type(error).__name__, error
        )

    return tenacity.Retrying(
        retry=tenacity.retry_if_exception(lambda error: isinstance(error, TotesError) and error.transient),
        wait=tenacity.wait_exponential(waits.first, waits.longest) + tenacity.wait_random(0, waits.first),
        stop=is_over,
        before_sleep=say,
        reraise=True,
    )(work)
