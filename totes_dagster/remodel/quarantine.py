"""Quarantine: source rows that cannot become rows of a star table, each with the reason.

Which rows break the contract of a star table is decided in `contract.py`. This module puts the reasons into words and
separates these rows from the others.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pandas as pd
import pyarrow as pa
from sqlalchemy import Table

from totes_dagster.lake.ingested import UNFIT_VALUES, UNFIT_VALUES_TYPE, unfit_values_from
from totes_dagster.lake.processed import REASON
from totes_dagster.remodel.contract import breaches_of
from totes_dagster.schema.arrow import arrow_schema
from totes_dagster.schema.registry import inputs_of
from totes_dagster.schema.star import remodelled_columns
from totes_dagster.schema.totesys import SOURCE_TABLES, key_of

Reasons = Mapping[int, str]
"""Reasons why rows cannot be used, by key."""


def quarantine_schema(source: str) -> pa.Schema:
    """The Arrow schema of quarantined rows of a source table: its declared columns, `UNFIT_VALUES`, and the reason."""
    columns = [pa.field(field.name, field.type) for field in arrow_schema(SOURCE_TABLES[source].columns)]
    return pa.schema(
        [*columns, pa.field(UNFIT_VALUES, UNFIT_VALUES_TYPE), pa.field(REASON, pa.string(), nullable=False)]
    )


def quarantine(
    star: Table, ingested: pa.Table, computed: pd.DataFrame, unusable: Mapping[str, Reasons]
) -> tuple[pd.DataFrame, pa.Table]:
    """Separate the rows of a star table that keep its contract from the source rows of those that break it.

    Args:
        star: the star table.
        ingested: rows of its driving table, with the column `UNFIT_VALUES`.
        computed: the rows that the table's function computed from them, in the same order.
        unusable: for each column that refers to a lookup table, the keys of the rows there that cannot be used. Rows
            that refer to them go to quarantine, so the warehouse keeps showing their previous values.

    Returns:
        The rows that keep the contract, and the source rows of the others with the reasons, in `quarantine_schema`.
    """
    source = inputs_of(star.name)[0]
    reasons = _reasons_of_unfit_values(star, source, ingested)
    for column, keys in unusable.items():
        for position, key in enumerate(ingested.column(column).to_pylist() if keys else ()):
            if key in keys:
                reasons.setdefault(position, {})[column] = f"{source}.{column} is {key}, but {keys[key]}"
    for position, breaches in breaches_of(star, computed).items():
        of_row = reasons.setdefault(position, {})
        for column, breach in breaches:
            if column not in of_row:
                of_row[column] = _reason_of_breach(star, column, breach, ingested.slice(position, 1))
    positions = sorted(reasons)
    sentences = [". ".join(dict.fromkeys(reasons[position].values())) for position in positions]
    quarantined = ingested.take(pa.array(positions, pa.int64()))
    quarantined = quarantined.append_column(REASON, pa.array(sentences, pa.string()))
    kept = computed.drop(index=computed.index[positions]) if positions else computed
    return kept, quarantined.select(quarantine_schema(source).names).cast(quarantine_schema(source))


def rows_to_look_up(star: Table, source: str, ingested: pa.Table) -> tuple[pa.Table, Reasons]:
    """The rows of a source table in which a star table can look up values, and why the others cannot be used.

    A row can be used if its key is unique, and all values that the star table is computed from fit their types.
    """
    reasons = _reasons_of_unfit_values(star, source, ingested)
    keys = ingested.column(key_of(SOURCE_TABLES[source])).to_pylist()
    copies = Counter(keys)
    unusable = {keys[position]: ". ".join(dict.fromkeys(of_row.values())) for position, of_row in reasons.items()}
    unusable |= {key: f"that is the key of {rows} rows of {source}" for key, rows in copies.items() if rows > 1}
    unusable.pop(None, None)
    usable = ingested.filter(pa.array([key is not None and key not in unusable for key in keys], pa.bool_()))
    return usable, unusable


def _reasons_of_unfit_values(star: Table, source: str, ingested: pa.Table) -> dict[int, dict[str, str]]:
    """Reasons why source values of the star table are unfit, by row position and star column."""
    if not len(ingested) or ingested.column(UNFIT_VALUES).null_count == len(ingested):
        return {}
    reasons: dict[int, dict[str, str]] = {}
    for position, text in enumerate(ingested.column(UNFIT_VALUES).to_pylist()):
        unfit = unfit_values_from(text)
        for column in remodelled_columns(star):
            for name in _sources(column, source):
                if name in unfit:
                    reasons.setdefault(position, {})[column.name] = f"{source}.{name} {unfit[name]}"
    return reasons


def _reason_of_breach(star: Table, column: str, breach: str, row: pa.Table) -> str:
    source = inputs_of(star.name)[0]
    match breach:
        case "null":
            values = [f"{source}.{name} is {_value(row, name)}" for name in _sources(star.columns[column], source)]
            return f"{column} must have a value, but {' and '.join(values) or 'there is none'}"
        case "repeated":
            return f"{column} is the key of other rows too"
        case "nul":
            return f"{column} contains the character NUL, which PostgreSQL cannot hold"
        case other:
            return f"{column} breaks its contract: {other}"


def _value(row: pa.Table, name: str) -> str:
    value = row.column(name)[0]
    if not value.is_valid:
        return "null"
    if pa.types.is_string(value.type):
        return repr(value.as_py())
    text = str(value.cast(pa.string()))  # Python has no dates past the year 9999; Arrow cannot format all of its own
    return "too far from now" if text.startswith("<value out of range") else text


def _sources(column: Any, source: str) -> list[str]:
    """The columns of one source table that a star column is computed from."""
    return [name.removeprefix(f"{source}.") for name in column.info["sources"] if name.startswith(f"{source}.")]
