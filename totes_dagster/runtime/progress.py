"""How a stage reports that it has moved rows; how that is shown belongs to `terminal` and to Dagster."""

from collections.abc import Callable

Progress = Callable[[str, str, int], None]
"""Called with the stage, the table, and the number of further rows that are done; from several threads."""


def silent(_stage: str, _table: str, _rows: int) -> None:
    """Report nothing."""
