"""What a batch brings: parts in the columns of their table and no others, keys that live, and rows accounted for."""

from pathlib import Path

import pyarrow as pa
import pytest

from totes_dagster.errors import PartMissingError, PartSchemaError, RowsUnaccountedError
from totes_dagster.lake.processed import star_parts, star_schema
from totes_dagster.lake.zone import Lake, Zone
from totes_dagster.schema.totesys import Capture
from totes_dagster.warehouse.batch_rows import (
    Account,
    keys_leaving_quarantine,
    live_keys,
    live_ranges,
    read_keys,
)
from totes_dagster.warehouse.parts import Parts, read_part
from totes_dagster_tests.unit.manifests import manifest, star_rows
from totes_dagster_tests.unit.warehouse.batches import PAYMENTS, Batch, MakeBatch, payment
from totes_dagster_tests.unit.warehouse.orders import ORDERS, order

BAD = {"payment_date": "soon"}


# Parts


def retyped(column: str, type_: pa.DataType) -> pa.Schema:
    schema = star_schema(ORDERS)
    place = schema.get_field_index(column)
    return schema.set(place, schema.field(column).with_type(type_))


WRONG = {
    "float64 for an integer": retyped("units_sold", pa.float64()),
    "int64 for an integer": retyped("units_sold", pa.int64()),
    "int32 for a date": retyped("created_date", pa.int32()),
    "a timestamp for a date": retyped("created_date", pa.timestamp("ms")),
    "a timestamp for a time": retyped("created_time", pa.timestamp("us")),
    "nanoseconds for microseconds": retyped("created_time", pa.time64("ns")),
    "money of four places": retyped("unit_price", pa.decimal128(20, 4)),
    "money of one place": retyped("unit_price", pa.decimal128(10, 1)),
    "money as text": retyped("unit_price", pa.string()),
    "another order of columns": pa.schema(list(star_schema(ORDERS))[::-1]),
    "a column too few": star_schema(ORDERS).remove(3),
    "a column too many": star_schema(ORDERS).append(pa.field("more", pa.int32())),
    "a column that may be null": pa.schema([field.with_nullable(True) for field in star_schema(ORDERS)]),
}


@pytest.mark.parametrize("schema", WRONG.values(), ids=WRONG)
def test_a_part_of_other_types_is_refused(zone: Zone, schema: pa.Schema) -> None:
    (part,) = star_parts(ORDERS, manifest({}))
    assert zone.create_part(part.path, schema.empty_table())
    with pytest.raises(
        PartSchemaError, match=f"The part {part.path} does not have the columns of fact_sales_order"
    ) as refused:
        read_part(part, zone)
    assert "Expected: sales_order_id int32 not null, created_date date32[day] not null" in str(refused.value)


def test_a_part_is_read_as_it_was_written(zone: Zone) -> None:
    (part,) = star_parts(ORDERS, manifest({}))
    rows = star_rows(ORDERS, order(1), order(2, units_sold=7))
    assert zone.create_part(part.path, rows)
    read = read_part(part, zone)
    assert read.rows.equals(rows)
    assert read.quarantined.num_rows == 0


def test_what_is_remodelled_already_is_read_and_not_made_anew(batch: MakeBatch) -> None:
    made = batch(payment(1, **BAD), payment(2))
    made.remodel()
    (part,) = made.star_parts
    read = read_part(part, made.lake.processed)
    assert read.rows.column("payment_id").to_pylist() == [2]
    assert read.quarantined.column("source_key").to_pylist() == [1]


@pytest.mark.parametrize("lost", ["star part", "quarantined part"])
def test_a_part_that_is_not_there_is_named_and_made_anew(batch: MakeBatch, tmp_path: Path, lost: str) -> None:
    made = batch(payment(1, **BAD), payment(2))
    ((part, contents),) = ((each.part, each.contents) for each in made.remodel())
    elsewhere = Zone((tmp_path / "elsewhere").as_uri())
    if lost == "quarantined part":
        assert elsewhere.create_part(part.path, contents.rows)
    with pytest.raises(PartMissingError, match=part.path if lost == "star part" else part.quarantine):
        read_part(part, elsewhere)
    parts = Parts(Lake(made.lake.ingestion, elsewhere))
    taken, read = parts.take(part), read_part(part, elsewhere)
    assert (taken.rows, taken.quarantined) == (read.rows, read.quarantined)
    assert read == read_part(part, made.lake.processed)
    assert parts.written[part.batch][part.star].quarantined == 1


# Keys


def test_the_keys_that_live_are_those_of_the_whole_table_also_of_rows_set_aside(batch: MakeBatch) -> None:
    made = batch(payment(1, **BAD), payment(None), payment(2), content=Capture.WHOLE)
    tables = live_keys(made.lake.ingestion, "payment", made.entry)
    assert tables is not None
    (keys,) = tables
    assert keys.column(0).to_pylist() == [1, 2]
    assert not keys.schema.field("payment_id").nullable


def test_where_changes_are_all_that_is_known_no_key_is_known_to_be_gone(batch: MakeBatch) -> None:
    made = batch(payment(1))
    assert live_keys(made.lake.ingestion, "payment", made.entry) is None


@pytest.mark.parametrize(
    "keys",
    [
        pa.table({"payment_id": [1.0]}),
        pa.table({"payment_id": ["one"]}),
        pa.table({"payment_id": pa.array([2**40])}),
        pa.table({"id": pa.array([1], pa.int32())}),
    ],
    ids=["floats", "words", "wider integers", "of another name"],
)
def test_keys_of_another_schema_are_refused(batch: MakeBatch, keys: pa.Table) -> None:
    made = batch(payment(1))
    path = "live_keys/payment/spoilt"
    part = made.put(path, keys)
    tables = live_keys(made.lake.ingestion, "payment", made.entry.model_copy(update={"live_keys": (part,)}))
    assert tables is not None
    with pytest.raises(PartSchemaError, match=path):
        list(tables)


def test_live_keys_of_another_type_are_refused(batch: MakeBatch) -> None:
    made = batch(payment(1))
    part = made.put("live_keys/payment/wider", pa.table({"payment_id": pa.array([1], pa.int64())}))
    with pytest.raises(PartSchemaError, match=r"does not have the keys of payment\. Found: payment_id int64\."):
        read_keys(made.lake.ingestion, "payment", part)


@pytest.mark.parametrize(
    ("live", "leaving"), [(None, {2}), ([1, 2, 9], {2}), ([2, 9], {1, 2}), ([1, 9], {2}), ([], {1, 2})]
)
def test_keys_leave_quarantine_when_their_row_comes_again_or_is_gone(
    batch: MakeBatch, live: list[int] | None, leaving: set[int]
) -> None:
    made = batch(payment(2), payment(9), payment(None), live=live)
    assert keys_leaving_quarantine(made.lake.ingestion, "payment", made.entry, {1, 2}) == leaving


@pytest.mark.parametrize(
    ("ranges", "leaving"), [((0,), {1, 2}), ((1,), {2, 20_000}), ((-1,), {2}), (None, {1, 2, 20_000})]
)
def test_a_list_of_ranges_says_nothing_of_other_keys_in_quarantine(
    batch: MakeBatch, ranges: tuple[int, ...] | None, leaving: set[int]
) -> None:
    made = batch(payment(2), live=[2])
    entry = made.entry.model_copy(update={"live_ranges": ranges})
    assert live_ranges(entry) == ranges
    assert keys_leaving_quarantine(made.lake.ingestion, "payment", entry, {1, 2, 20_000}) == leaving


# Accounting


def account_of(made: Batch) -> Account:
    """What was ingested of a batch, and what is in quarantine; nothing has arrived yet."""
    account = Account(PAYMENTS, made.manifest.batch)
    for part in made.star_parts:
        account.add_part(part, read_part(part, made.lake.processed))
    return account


def test_rows_that_arrived_and_rows_set_aside_are_all_that_were_ingested(batch: MakeBatch) -> None:
    made = batch(payment(1, **BAD), payment(2), payment(3))
    made.remodel()
    account = account_of(made)
    (part,) = made.star_parts
    account.staged = read_part(part, made.lake.processed).rows.num_rows
    assert (account.ingested, account.staged, account.quarantined) == (3, 2, 1)
    account.check(made.lake.processed)


@pytest.mark.parametrize("arrived", [0, 1, 3, 4])
def test_rows_lost_or_doubled_are_told_in_numbers(batch: MakeBatch, arrived: int) -> None:
    made = batch(payment(1, **BAD), payment(2), payment(3))
    made.remodel()
    account = account_of(made)
    account.staged = arrived
    with pytest.raises(
        RowsUnaccountedError,
        match=f"Batch 1 has 3 rows of payment, but {arrived} of them arrived for fact_payment, and 1 are in quarantine",
    ):
        account.check(made.lake.processed)
