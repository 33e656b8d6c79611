"""How a stage tells whoever watches that rows have moved."""

from collections.abc import Callable

Progress = Callable[[str, str, int], None]
"""Called with the stage, the table, and how many more of its rows are done; from several threads."""


def silent(_stage: str, _table: str, _rows: int) -> None:
    """Tell nobody."""
