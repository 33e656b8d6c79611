"""Quarantine: source rows that cannot become rows of a star table are set aside, each with its reason.

Which rows break the contract of a star table is said in `remodel/contract.py`; here they are told in words, and parted
from the others.
"""

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pandas as pd
import pyarrow as pa
from sqlalchemy import Table

from totes_dagster.ingest.exact_types import UNFIT
from totes_dagster.remodel.contract import breaches_of
from totes_dagster.schema.arrow import arrow_schema
from totes_dagster.schema.totesys import TABLES, key_of
from totes_dagster.schema.warehouse import remodelled_columns

REASON = "reason"
"""Column of a quarantined part: why the row was set aside, one sentence per breach."""


def quarantine_schema(source: str) -> pa.Schema:
    """The Arrow schema of quarantined rows of a source table: its declared columns, `UNFIT`, and the reason."""
    columns = [pa.field(field.name, field.type) for field in arrow_schema(TABLES[source].columns)]
    return pa.schema([*columns, pa.field(UNFIT, pa.string()), pa.field(REASON, pa.string(), nullable=False)])


Unsound = Mapping[int, str]
"""Keys under which nothing can be looked up, with the reason."""


def set_aside(
    star: Table, source: str, ingested: pa.Table, rows: pd.DataFrame, unsound: Mapping[str, Unsound]
) -> tuple[pd.DataFrame, pa.Table]:
    """Part the rows of a star table that keep its contract from the source rows of those that do not.

    Args:
        star: the star table.
        source: the source table that it has one row for each row of.
        ingested: rows of the source table, with the column `UNFIT`.
        rows: what the model made of them, in their order.
        unsound: by column that refers to a table in which values are looked up, its unsound keys. Whatever refers to
            them is set aside, so that the warehouse goes on showing what was there before.

    Returns:
        The sound rows, and the source rows of the others with the reason, as `quarantine_schema` says.
    """
    complaints = _complaints(star, source, ingested)
    for column, reasons in unsound.items():
        for position, key in enumerate(ingested.column(column).to_pylist() if reasons else ()):
            if key in reasons:
                complaints.setdefault(position, {})[column] = f"{source}.{column} is {key}, but {reasons[key]}"
    for position, breaches in breaches_of(star, rows).items():
        told = complaints.setdefault(position, {})
        for column, breach in breaches:
            if column not in told:
                told[column] = _told(star, source, column, breach, ingested.slice(position, 1))
    positions = sorted(complaints)
    reasons_told = [". ".join(dict.fromkeys(complaints[position].values())) for position in positions]
    quarantined = ingested.take(pa.array(positions, pa.int64()))
    quarantined = quarantined.append_column(REASON, pa.array(reasons_told, pa.string()))
    sound = rows.drop(index=rows.index[positions]) if positions else rows
    return sound, quarantined.select(quarantine_schema(source).names).cast(quarantine_schema(source))


def sound_rows(star: Table, source: str, ingested: pa.Table) -> tuple[pa.Table, Unsound]:
    """Rows of a source table in which a star table can look values up, and the keys of all others.

    Sound is a row with a key of its own, and with values that are what they say.
    """
    complaints = _complaints(star, source, ingested)
    keys = ingested.column(key_of(TABLES[source])).to_pylist()
    copies = Counter(keys)
    unsound = {keys[position]: ". ".join(dict.fromkeys(told.values())) for position, told in complaints.items()}
    unsound |= {key: f"that is the key of {rows} rows of {source}" for key, rows in copies.items() if rows > 1}
    unsound.pop(None, None)
    sound = ingested.filter(pa.array([key is not None and key not in unsound for key in keys], pa.bool_()))
    return sound, unsound


def _complaints(star: Table, source: str, ingested: pa.Table) -> dict[int, dict[str, str]]:
    """By position and star column, what is unfit about the source values that it is computed from."""
    if not len(ingested) or ingested.column(UNFIT).null_count == len(ingested):
        return {}
    complaints: dict[int, dict[str, str]] = {}
    for position, text in enumerate(ingested.column(UNFIT).to_pylist()):
        unfit: dict[str, str] = json.loads(text) if text else {}
        for column in remodelled_columns(star):
            for name in _sources(column, source):
                if name in unfit:
                    complaints.setdefault(position, {})[column.name] = f"{source}.{name} {unfit[name]}"
    return complaints


def _told(star: Table, source: str, column: str, breach: str, row: pa.Table) -> str:
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
    text = str(value.cast(pa.string()))  # Python has no dates past the year 9999, and Arrow not many more
    return "too far from now" if text.startswith("<value out of range") else text


def _sources(column: Any, source: str) -> list[str]:
    """The columns of one source table that a star column is computed from."""
    return [name.removeprefix(f"{source}.") for name in column.info["sources"] if name.startswith(f"{source}.")]
