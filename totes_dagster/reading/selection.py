"""Which rows of a table are meant: the newest state, the state as of a batch, or what one batch brought."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from totes_dagster.errors import SelectionError

_NAMES = {"batch", "as_of"}


@dataclass(frozen=True)
class Selection:
    """Which rows of a table are meant; the newest state unless one of the attributes is given.

    Attributes:
        batch: only the rows that this batch brought.
        as_of: the table as it was when this batch was the newest one.
    """

    batch: int | None = None
    as_of: int | None = None

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            SelectionError: both are given, or one is not the number of a batch.
        """
        given = [number for number in (self.batch, self.as_of) if number is not None]
        if len(given) > 1:
            raise SelectionError("An input is either what one `batch` brought or the state `as_of` a batch, not both.")
        if any(type(number) is not int or number < 1 for number in given):
            raise SelectionError(f"{given[0]!r} is not the number of a batch: use a whole number from 1.")

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, Any]) -> Self:
        """The selection in the metadata of an input, which may contain more than that.

        Raises:
            SelectionError: see the class.
        """
        return cls(**{name: value for name, value in metadata.items() if name in _NAMES})


NEWEST = Selection()
"""The newest state."""
