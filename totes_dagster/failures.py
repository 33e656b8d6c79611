"""How a run fails: with the platform's own message, and the facts to act on as metadata."""

from collections.abc import Iterator
from contextlib import contextmanager

from dagster import Failure

from totes_dagster.errors import TotesError


@contextmanager
def failing_clearly() -> Iterator[None]:
    """Let a named error of the block fail the step with its message, and what it is about as metadata.

    Raises:
        dagster.Failure: the block raised a `TotesError`. Transient ones were repeated by then, so the step is not.
    """
    try:
        yield
    except TotesError as error:
        facts = {name: str(fact) for name, fact in error.facts.items()}
        raise Failure(
            f"{type(error).__name__}: {error}", metadata={"error": type(error).__name__, **facts}, allow_retries=False
        ) from error
