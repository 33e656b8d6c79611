"""Runs a step's work, and reports a named error as a failure with its own message, and its facts as metadata."""

from collections.abc import Callable
from typing import TypeVar

from dagster import Failure

from totes_dagster.errors import TotesError
from totes_dagster.runtime.interruption import interruptibly

T = TypeVar("T")


def run_step(work: Callable[[], T]) -> T:
    """Do a step's work so that its run can be stopped, and so that a named error fails it with that error's message.

    Raises:
        dagster.Failure: the work raised a `TotesError`. Transient errors have been retried by then, so the step is not.
    """
    try:
        return interruptibly(work)
    except TotesError as error:
        facts = {name: str(fact) for name, fact in error.facts.items()}
        raise Failure(
            f"{type(error).__name__}: {error}", metadata={"error": type(error).__name__, **facts}, allow_retries=False
        ) from error
