"""Random pauses between changes of a source."""

from collections.abc import Iterator
from random import Random


def exponential_pauses(mean: float, rng: Random) -> Iterator[float]:
    """Exponentially distributed pauses, in seconds: changes come at any moment alike, out of step with Dagster's ticks.

    Args:
        mean: mean of the pauses, in seconds; 0 for none.
        rng: source of the random numbers.
    """
    while True:
        yield rng.expovariate(1 / mean) if mean else 0.0
