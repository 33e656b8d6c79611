"""Where parts of the ingestion zone lie, and the column of values that do not fit."""

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from totes_dagster.lake.ingested import (
    UNFIT_VALUES,
    columns_to_read,
    folder_of,
    is_undeclared,
    live_keys_folder_of,
    unfit_values_from,
    unfit_values_text,
    with_unfit_values,
    without_empty_unfit_values,
)
from totes_dagster.lake.zone import Zone
from totes_dagster.schema.totesys import SOURCE_TABLES

FORMER_NAME = "unfit: values of this row that the types of their columns cannot hold"
"""What the column was called in parts of older versions of the platform."""

POSTGRES_NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=63)


def part(name: str | None, *values: str | None) -> pa.Table:
    """Two rows as a part holds them, with the column of unfit values under a name or without it."""
    rows = pa.table({"design_id": pa.array([1, 2], pa.int32())})
    return rows if name is None else rows.append_column(name, pa.array(values, pa.string()))


# Folders


@pytest.mark.parametrize("table", SOURCE_TABLES)
def test_a_declared_table_has_a_folder_of_its_name(table: str) -> None:
    assert folder_of(table, 42) == f"{table}/batch=0000000042"
    assert live_keys_folder_of(table, 42) == f"live_keys/{table}/batch=0000000042"
    assert not is_undeclared(folder_of(table, 42))


@pytest.mark.parametrize(
    ("table", "folder"),
    [
        ("invoice", "undeclared/invoice"),
        ("a b", "undeclared/a%20b"),
        ("payment/batch=0000000001", "undeclared/payment%2Fbatch%3D0000000001"),
        ("..", "undeclared/%2E%2E"),
        (".", "undeclared/%2E"),
        ("a.b", "undeclared/a%2Eb"),
        ("%2E", "undeclared/%252E"),
        ("Größe", "undeclared/Gr%C3%B6%C3%9Fe"),
        ("Payment", "undeclared/Payment"),
        ("undeclared", "undeclared/undeclared"),
        ("batches", "undeclared/batches"),
    ],
)
def test_an_undeclared_table_has_a_folder_that_no_name_can_leave(table: str, folder: str) -> None:
    assert folder_of(table, 1) == f"{folder}/batch=0000000001"
    assert is_undeclared(folder_of(table, 1))


@given(POSTGRES_NAMES, POSTGRES_NAMES)
@example("a.b", "a%2Eb")
@example("a/b", "a%2Fb")
def test_two_tables_never_share_a_folder(one: str, other: str) -> None:
    assert (folder_of(one, 1) == folder_of(other, 1)) == (one == other)
    assert len(folder_of(one, 1).split("/")) == (2 if one in SOURCE_TABLES else 3)


@pytest.mark.parametrize("name", ["..", "a/b", "a b", "%2F", "Größe", "?", "#", "\\", "\n", "'", "*"])
def test_a_part_of_a_table_of_any_name_can_be_written_and_is_found_in_its_folder(zone: Zone, name: str) -> None:
    path = f"{folder_of(name, 1)}/part-00000"
    assert zone.create_part(path, part(None))
    assert zone.read_part(path).equals(part(None))
    assert zone.paths(folder_of(name, 1)) == [path]


# Values that do not fit


def test_the_columns_of_a_part_are_read_with_the_unfit_values_under_either_name() -> None:
    assert columns_to_read(["design_id"]) == ["design_id", UNFIT_VALUES, FORMER_NAME]


def test_a_part_has_the_column_of_unfit_values_as_it_was_written() -> None:
    rows = part(UNFIT_VALUES, None, '{"file_name": "is odd"}')
    assert with_unfit_values(rows).equals(rows)


def test_a_part_of_an_older_version_is_read_as_one_of_today() -> None:
    values = (None, '{"file_name": "is odd"}')
    assert with_unfit_values(part(FORMER_NAME, *values)).equals(part(UNFIT_VALUES, *values))


def test_a_part_without_the_column_has_no_unfit_value() -> None:
    assert with_unfit_values(part(None)).equals(part(UNFIT_VALUES, None, None))
    assert with_unfit_values(part(None).slice(0, 0)).schema.equals(part(UNFIT_VALUES, None, None).schema)


def test_a_part_is_written_without_the_column_where_every_value_fits() -> None:
    assert without_empty_unfit_values(part(UNFIT_VALUES, None, None)).equals(part(None))
    assert without_empty_unfit_values(part(None)).equals(part(None))
    unfit = part(UNFIT_VALUES, None, "{}")
    assert without_empty_unfit_values(unfit).equals(unfit)


def test_no_column_of_the_source_can_have_the_former_name_of_ours() -> None:
    assert len(FORMER_NAME.encode()) > 63  # the longest name that PostgreSQL has


@given(st.dictionaries(st.text(), st.text()))
@example({"Größe": 'is "0"\n'})
def test_reasons_are_read_as_they_were_written(reasons: dict[str, str]) -> None:
    text = unfit_values_text(reasons)
    assert (text is None) == (not reasons)
    assert unfit_values_from(text) == reasons
