"""A lake as Athena would show it, in DuckDB: the catalogue's tables over the lake's objects, asked in Athena's SQL.

Tables have the columns, names and types of tables.json, the partition key, and the hidden column `$path`.
"""

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import duckdb
import sqlglot

from totes_dagster.config.platform import Platform
from totes_dagster.lake.zone import Zone

MODULE = Path(__file__).parents[3] / "terraform" / "modules" / "catalogue"
TABLES = json.loads((MODULE / "tables.json").read_text())
QUERIES = {path.stem: path.read_text() for path in sorted((MODULE / "queries").glob("*.sql"))}

INGESTION, PROCESSED = "totes_test_ingestion", "totes_test_processed"
"""The databases that the queries are rendered for."""


def folder_of(lake: Zone) -> Path:
    """Where a lake lies that is a folder."""
    return Path(unquote(urlsplit(lake.url).path))


def rendered(query: str) -> str:
    """A query as Terraform's templatefile renders it."""
    text = query.replace("${ingestion}", INGESTION).replace("${processed}", PROCESSED)
    assert "${" not in text
    return text


class Athena:
    """A lake's tables, and who answers queries about them."""

    def __init__(self, platform: Platform) -> None:
        self._connection = duckdb.connect()
        ingestion, processed = folder_of(platform.lake.ingestion), folder_of(platform.lake.processed)
        for database in (INGESTION, PROCESSED):
            self._connection.execute(f"create schema {database}")
        for name, table in (TABLES["ingestion"] | TABLES["live_keys"]).items():
            self._create_parquet(f"{INGESTION}.{name}", ingestion, table)
        for name, table in TABLES["processed"].items():
            self._create_parquet(f"{PROCESSED}.{name}", processed, table)
        columns = {column["name"]: _duckdb_type(column["type"]) for column in TABLES["batches"]["columns"]}
        self._connection.execute(
            f"create view {INGESTION}.batches as select * from read_json({_quoted(ingestion / 'batches' / '*.json')}, "
            f"format='newline_delimited', columns={columns!r})"
        )

    def ask(self, query: str) -> list[dict[str, Any]]:
        """The rows that a query in Athena's SQL is answered with, without the hidden column."""
        (statement,) = sqlglot.transpile(query, read="athena", write="duckdb")
        answer = self._connection.execute(statement)
        assert answer.description is not None
        names = [column[0] for column in answer.description]
        assert len({*names}) == len(names)
        return [
            {name: value for name, value in zip(names, row, strict=True) if name != "$path"}
            for row in answer.fetchall()
        ]

    def _create_parquet(self, name: str, folder: Path, table: dict[str, Any]) -> None:
        if not list((folder / table["location"]).glob("batch=*/*.parquet")):  # which DuckDB, unlike Athena, minds
            nothing = ", ".join(
                f'null::{_duckdb_type(column["type"])} as "{column["name"]}"' for column in table["columns"]
            )
            self._connection.execute(
                f"create view {name} as select {nothing}, 0::bigint as batch, '' as \"$path\" where false"
            )
            return
        parts = (
            f"read_parquet({_quoted(folder / table['location'] / 'batch=*' / '*.parquet')}, filename=true, "
            "union_by_name=true, hive_partitioning=true, hive_types={'batch': bigint})"
        )
        times = {row[0] for row in self._connection.execute(f"describe from {parts}").fetchall() if row[1] == "TIME"}
        columns = ", ".join(
            # As the number that it is stored as.
            f'epoch_us(date \'1970-01-01\' + "{name}") as "{name}"' if name in times else f'"{name}"'
            for name in (column["name"] for column in table["columns"])
        )
        # The bucket is called after the folder.
        path = f"'s3://{folder.name}' || substr(filename, {len(str(folder)) + 1})"
        self._connection.execute(f'create view {name} as select {columns}, batch, {path} as "$path" from {parts}')


def _duckdb_type(hive: str) -> str:
    """A Hive type in DuckDB's spelling."""
    if inner := re.fullmatch(r"array<(.*)>", hive):
        return f"{_duckdb_type(inner[1])}[]"
    if inner := re.fullmatch(r"map<(\w+),(.*)>", hive):
        return f"map({_duckdb_type(inner[1])}, {_duckdb_type(inner[2])})"
    if inner := re.fullmatch(r"struct<(.*)>", hive):
        fields = (field.partition(":") for field in _split(inner[1]))
        return f"struct({', '.join(f'{name} {_duckdb_type(type_)}' for name, _, type_ in fields)})"
    return {"string": "varchar"}.get(hive, hive)


def _split(fields: str) -> list[str]:
    """Fields of a struct, apart at the commas that are not inside another type."""
    found, depth = [""], 0
    for character in fields:
        depth += {"<": 1, "(": 1, ">": -1, ")": -1}.get(character, 0)
        if character == "," and not depth:
            found.append("")
        else:
            found[-1] += character
    return found


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"
