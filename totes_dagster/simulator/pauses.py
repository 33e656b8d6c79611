"""Pauses between changes of a source."""

from collections.abc import Iterator
from random import Random


def exponential_pauses(mean: float, rng: Random) -> Iterator[float]:
    """Pauses without a rhythm, so that changes do not fall in step with Dagster's: any moment is as likely as any.

    Args:
        mean: of the pauses, in seconds; 0 for none.
        rng: what they are drawn from.
    """
    while True:
        yield rng.expovariate(1 / mean) if mean else 0.0
