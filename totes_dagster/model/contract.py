"""The contract of the star tables: what every row must be, derived from the declarations, and which rows break it."""

from functools import lru_cache
from typing import Any

import pandas as pd
import pandera.pandas as pandera
import pyarrow.compute as pc
from sqlalchemy import String, Table

from totes_dagster.schema.arrow import arrow_type
from totes_dagster.schema.warehouse import natural_key_of, remodelled_columns

Breach = tuple[str, str]
"""A column of the star table, and what is wrong with its value: `null`, `repeated` or `nul`."""

_BREACHES = {"not_nullable": "null", "field_uniqueness": "repeated"}


@lru_cache
def contract_of(star: Table) -> pandera.DataFrameSchema:
    """What every row of a star table must be: of the declared types, not null, one per key, text without NUL.

    A fact holds a key once per batch, so also its natural key must not be repeated.
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
    """The rows that break the contract, by position, each with all its breaches; empty when all rows are sound.

    Raises:
        pandera.errors.SchemaErrors: a column is missing or of another type, which is the function's fault, not a row's.
    """
    numbered = rows.reset_index(drop=True)
    try:
        contract_of(star).validate(numbered, lazy=True)
    except pandera.errors.SchemaErrors as errors:
        cases = errors.failure_cases
        if cases["index"].isna().any():
            raise
        found: dict[int, list[Breach]] = {}
        for column, check, index in zip(cases["column"], cases["check"], cases["index"], strict=True):
            # A null in a text column fails every check; that it is null says it all.
            breach = (str(column), _BREACHES.get(str(check), str(check)))
            found.setdefault(int(index), []).append(breach)
        return found
    return {}


def _without_nul(text: pd.Series) -> Any:
    """PostgreSQL's text cannot hold the character NUL."""
    return ~pd.Series(pc.match_substring(text.array.__arrow_array__(), "\x00"), index=text.index).astype("boolean")
