"""The contract of the star tables, derived from the declarations, and finding the rows that break it.

What happens to such rows is in `quarantine.py`.
"""

from functools import lru_cache

import pandas as pd
import pandera.pandas as pandera
from sqlalchemy import String, Table

from totes_dagster.schema.arrow import arrow_type
from totes_dagster.schema.star import natural_key_of, remodelled_columns

Breach = tuple[str, str]
"""A column of the star table, and what is wrong with its value: `null`, `repeated`, or `nul` (the character NUL)."""

_BREACHES = {"not_nullable": "null", "field_uniqueness": "repeated", "nul": "nul"}


@lru_cache
def contract_of(star: Table) -> pandera.DataFrameSchema:
    """What every row of a star table must satisfy: the declared types, no null, unique keys, no NUL in text.

    The natural keys of a fact are unique too, because a batch brings each of them once.
    """
    return pandera.DataFrameSchema(
        {
            column.name: pandera.Column(
                pd.ArrowDtype(arrow_type(column)),
                checks=[pandera.Check(_without_nul, name="nul")] if isinstance(column.type, String) else [],
                nullable=bool(column.nullable),
                unique=column.name == natural_key_of(star),
            )
            for column in remodelled_columns(star)
        }
    )


def breaches_of(star: Table, rows: pd.DataFrame) -> dict[int, list[Breach]]:
    """The rows that break the contract, by position, each with all its breaches; empty if all rows are valid.

    Raises:
        pandera.errors.SchemaErrors: a column is missing or has another type, which is a fault of the function that
            computed the rows and not of a row.
    """
    numbered = rows.reset_index(drop=True)
    try:
        contract_of(star).validate(numbered, lazy=True)
    except pandera.errors.SchemaErrors as errors:
        cases = errors.failure_cases
        if not cases["check"].isin(list(_BREACHES)).all():
            raise
        found: dict[int, list[Breach]] = {}
        for column, check, index in zip(cases["column"], cases["check"], cases["index"], strict=True):
            found.setdefault(int(index), []).append((str(column), _BREACHES[str(check)]))
        return found
    return {}


def _without_nul(text: pd.Series) -> pd.Series:
    """Whether each text is one that PostgreSQL can store."""
    return ~text.str.contains("\x00", regex=False)
