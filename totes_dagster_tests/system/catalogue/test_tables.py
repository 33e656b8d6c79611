"""The catalogue's tables: generated from the declarations, and such as the lake's Parquet files can be read by."""

import json
import re
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from sqlalchemy import Column, LargeBinary

from totes_dagster.aws.glue import hive_type, json_type
from totes_dagster.cli.commands import main
from totes_dagster.schema import totesys
from totes_dagster.schema.registry import STAR_TABLES
from totes_dagster_tests.system.catalogue.conftest import Past
from totes_dagster_tests.system.catalogue.lake_in_athena import MODULE, TABLES, folder_of

GENERATED = MODULE / "tables.json"
LAKE_TABLES = [
    (zone, name)
    for zone, group in (("ingestion", "ingestion"), ("ingestion", "live_keys"), ("processed", "processed"))
    for name in TABLES[group]
]


def table_of(name: str) -> dict[str, Any]:
    return (TABLES["ingestion"] | TABLES["live_keys"] | TABLES["processed"])[name]


def readable_as(column: Any) -> str:  # noqa: PLR0911 - a table of types
    """The Hive type as which Athena reads a column of a Parquet file, by its physical and its logical type.

    Said a second time, from what Athena's engine does, and not from the declarations.
    """
    logical = json.loads(column.logical_type.to_json())
    match column.physical_type, logical["Type"]:
        case "INT32", "None":
            return "int"
        case "INT64", "None":
            return "bigint"
        case "INT64", "Time" if logical["timeUnit"] == "microseconds":
            return "bigint"
        case "INT64", "Timestamp" if logical["timeUnit"] in {"milliseconds", "microseconds"}:
            assert not logical["isAdjustedToUTC"]
            return "timestamp"
        case "INT32", "Date":
            return "date"
        case "BOOLEAN", "None":
            return "boolean"
        case "BYTE_ARRAY", "String":
            return "string"
        case "FIXED_LEN_BYTE_ARRAY", "Decimal":
            return f"decimal({logical['precision']},{logical['scale']})"
        case other:
            raise AssertionError(f"Athena cannot read {column.name}: {other}")


def test_tables_json_is_what_the_command_generates() -> None:
    assert CliRunner().invoke(main, ["glue"]).stdout == GENERATED.read_text()
    assert CliRunner().invoke(main, ["glue", "--check", str(GENERATED)]).exit_code == 0


def test_a_file_that_is_stale_is_refused_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "tables.json"
    missing = CliRunner().invoke(main, ["glue", "--check", str(file)])
    assert CliRunner().invoke(main, ["glue", "--write", str(file)]).output == ""
    assert file.read_text() == GENERATED.read_text()
    file.write_text(file.read_text().replace('"decimal(10,2)"', '"double"'))
    stale = CliRunner().invoke(main, ["glue", "--check", str(file)])
    for refused, why in ((missing, "cannot be read: No such file"), (stale, "does not match the declarations")):
        assert (refused.exit_code, refused.stdout) == (1, "")
        (line,) = refused.stderr.splitlines()
        assert line.startswith(f"CatalogueStaleError: {file} {why}")
        assert line.endswith(f"totes glue --write {file}")


def test_writing_and_checking_at_once_is_a_wrong_usage(tmp_path: Path) -> None:
    asked = CliRunner().invoke(main, ["glue", "--write", str(tmp_path / "a"), "--check", str(tmp_path / "b")])
    assert asked.exit_code == 2


def test_every_table_of_the_lake_is_there() -> None:
    assert list(TABLES["ingestion"]) == list(totesys.SOURCE_TABLES)
    assert list(TABLES["processed"]) == list(STAR_TABLES)
    assert list(TABLES["live_keys"]) == [
        "sales_order_live_keys",
        "purchase_order_live_keys",
        "transaction_live_keys",
        "payment_live_keys",
    ]


@pytest.mark.parametrize(("zone", "name"), LAKE_TABLES)
def test_a_tables_files_lie_and_are_typed_as_declared(past: Past, zone: str, name: str) -> None:
    table = table_of(name)
    declared = {column["name"]: column["type"] for column in table["columns"]}
    platform = past.world.platform
    lake = platform.lake.ingestion if zone == "ingestion" else platform.lake.processed
    paths = [path for path in lake.paths(table["location"]) if path.startswith(f"{table['location']}/")]
    assert paths
    for path in paths:
        # As the projection makes the names of folders: ten digits.
        assert re.fullmatch(rf"{table['location']}/batch=\d{{10}}/[^/]+\.parquet", path)
        schema = pq.ParquetFile(folder_of(lake) / path).schema
        # Parts can have more columns than are declared: of the source, and the platform's own.
        found = {column.name: column for column in map(schema.column, range(len(schema.names)))}
        assert {name: readable_as(found[name]) for name in declared} == declared


def test_manifests_have_the_columns_that_are_declared(past: Past) -> None:
    declared = {column["name"]: column["type"] for column in TABLES["batches"]["columns"]}
    for path in past.world.platform.lake.ingestion.paths(TABLES["batches"]["location"]):
        (line,) = (past.ingestion / path).read_text().splitlines()
        manifest = json.loads(line)
        assert list(manifest) == list(declared)
        for name, value in manifest.items():
            assert_is(value, declared[name])


def assert_is(value: Any, type_: str) -> None:
    """That a JSON value is of a Hive type, with no field more and none less."""
    if value is None:
        return
    if inner := re.fullmatch(r"map<string,(.*)>", type_):
        for member in value.values():
            assert_is(member, inner[1])
    elif inner := re.fullmatch(r"array<(.*)>", type_):
        for member in value:
            assert_is(member, inner[1])
    elif inner := re.fullmatch(r"struct<(.*)>", type_):
        # Names that come before types that hold no struct of their own, or do.
        fields = re.findall(r"(\w+):((?:array<struct<[^>]*>>)|(?:array<\w+>)|(?:struct<[^>]*>)|\w+)", inner[1])
        assert list(value) == [name for name, _ in fields]
        for name, field in fields:
            assert_is(value[name], field)
    else:
        expected = {"bigint": int, "string": str, "boolean": bool}[type_]
        assert type(value) is expected
        assert type(value) is not int or -(2**63) <= value < 2**63


def test_the_partition_key_is_no_column() -> None:
    assert all("batch" not in [column["name"] for column in table_of(name)["columns"]] for _, name in LAKE_TABLES)


def test_every_comment_is_one_that_glue_takes() -> None:
    for _, name in LAKE_TABLES:
        assert len(table_of(name)["description"]) <= 2048
        for column in table_of(name)["columns"]:
            assert 0 < len(column["comment"]) <= 255
            assert "\n" not in column["comment"]


def test_a_time_of_day_says_in_what_it_is_counted() -> None:
    columns = [column for table in TABLES["processed"].values() for column in table["columns"]]
    times = [column for column in columns if column["name"].endswith("_time")]
    assert len(times) == 6
    assert {column["type"] for column in times} == {"bigint"}
    assert all(column["comment"].endswith("In microseconds since midnight.") for column in times)


def test_a_type_that_nobody_thought_of_is_refused() -> None:
    with pytest.raises(TypeError, match=r"add one to arrow_type"):
        hive_type(Column("picture", LargeBinary()))
    with pytest.raises(TypeError, match=r"add one to json_type"):
        json_type(float)
