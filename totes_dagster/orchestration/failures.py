"""How a step does its work and fails: with the platform's own message, and the facts to act on as metadata."""

from collections.abc import Callable
from typing import TypeVar

from dagster import Failure

from totes_dagster.errors import TotesError
from totes_dagster.runtime.interruption import interruptibly

T = TypeVar("T")


def run_step(work: Callable[[], T]) -> T:
    """Do a step's work in a way that its run can be stopped, and that a named error fails it with its message.

    Raises:
        dagster.Failure: the work raised a `TotesError`. Transient ones were repeated by then, so the step is not.
    """
    try:
        return interruptibly(work)
    except TotesError as error:
        facts = {name: str(fact) for name, fact in error.facts.items()}
        raise Failure(
            f"{type(error).__name__}: {error}", metadata={"error": type(error).__name__, **facts}, allow_retries=False
        ) from error
