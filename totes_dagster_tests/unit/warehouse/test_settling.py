"""What becomes of the warehouse's list of quarantined rows, and of keys, when a batch is loaded."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from totes_dagster.warehouse.settling import live_keys, settle_quarantine

from totes_dagster.errors import PartSchemaError, RowsUnaccountedError
from totes_dagster.lake.manifest import Manifest, Part, TableEntry
from totes_dagster.lake.zone import Zone
from totes_dagster.remodel.run import remodel_part, star_parts, write_star
from totes_dagster.runtime.progress import silent
from totes_dagster.schema.totesys import Capture
from totes_dagster.warehouse.batch_rows import Incoming
from totes_dagster_tests.unit.conftest import Warehouse
from totes_dagster_tests.unit.manifests import CENSUS, SNAPSHOT
from totes_dagster_tests.unit.rows import Row, ingested

BAD = {"payment_date": "soon"}
SOON = "payment_date must have a value, but payment.payment_date is 'soon'"
LISTED = "select source_table, source_key, reason, batch, part from quarantine order by source_table, source_key"

on_a_warehouse = pytest.mark.parametrize("warehouse", ["public"], indirect=True)


class Batch:
    """A batch of payments in a lake of its own."""

    def __init__(self, folder: Path, number: int, content: Capture, rows: list[Row], live: list[int] | None) -> None:
        self.ingestion = Zone((folder / "ingestion").as_uri())
        self.processed = Zone((folder / "processed").as_uri())
        path = f"payment/batch={number:010}/part-00000"
        parts = [self.put(path, ingested("payment", rows))] if rows else []
        keys = pa.table({"payment_id": pa.array(live, pa.int32())}) if live is not None else None
        entry = TableEntry(
            batch=number,
            content=content,
            census=CENSUS,
            parts=tuple(parts),
            live_keys=None if keys is None else (self.put(f"live_keys/{path}", keys),),
        )
        self.manifest = Manifest(batch=number, snapshot=SNAPSHOT, tables={"payment": entry})

    def put(self, path: str, rows: pa.Table) -> Part:
        part = self.ingestion.create_part(path, rows)
        assert part is not None
        return part

    def incoming(self) -> Incoming:
        return Incoming.of("fact_payment", self.manifest, self.ingestion, self.processed, silent)

    def settle(self, warehouse: Warehouse) -> None:
        """Do to the list what the batch's load does."""
        incoming = self.incoming()
        for _ in incoming:
            pass
        with warehouse.begin() as transaction:
            settle_quarantine(transaction, self.manifest, incoming)
            transaction.commit()


MakeBatch = Callable[..., Batch]


@pytest.fixture
def batch(tmp_path: Path) -> MakeBatch:
    numbers = iter(range(1, 100))

    def make(*rows: Row, content: Capture = Capture.CHANGES, live: list[int] | None = None) -> Batch:
        number = next(numbers)
        return Batch(tmp_path / str(number), number, content, list(rows), live)

    return make


def payment(key: int | None, **values: Any) -> Row:
    return {"payment_id": key, **values}


def listed(warehouse: Warehouse) -> list[int | None]:
    return [key for _, key, *_ in warehouse.ask(LISTED)]


@on_a_warehouse
def test_a_row_that_is_set_aside_is_listed_with_its_reason_its_batch_and_its_part(
    warehouse: Warehouse, batch: MakeBatch
) -> None:
    batch(payment(1, **BAD), payment(2)).settle(warehouse)
    assert warehouse.ask(LISTED) == [
        ("payment", 1, SOON, 1, "quarantine/payment/v1/batch=0000000001/part-00000.parquet")
    ]


@on_a_warehouse
def test_a_row_that_comes_again_leaves_the_list_or_is_listed_anew(warehouse: Warehouse, batch: MakeBatch) -> None:
    batch(*(payment(key, **BAD) for key in (1, 2, 3))).settle(warehouse)
    batch(payment(1), payment(2, payment_date="")).settle(warehouse)
    assert [(key, reason, number) for _, key, reason, number, _ in warehouse.ask(LISTED)] == [
        (2, SOON.replace("soon", ""), 2),
        (3, SOON, 1),
    ]


@on_a_warehouse
def test_a_row_whose_key_is_gone_leaves_the_list_and_those_that_live_stay(
    warehouse: Warehouse, batch: MakeBatch
) -> None:
    batch(*(payment(key, **BAD) for key in (1, 2, 3))).settle(warehouse)
    batch(payment(9), live=[1, 3, 9]).settle(warehouse)
    assert listed(warehouse) == [1, 3]
    batch(live=[1]).settle(warehouse)
    assert listed(warehouse) == [1]
    batch(live=[]).settle(warehouse)
    assert listed(warehouse) == []


@on_a_warehouse
def test_without_a_word_on_the_keys_that_live_nobody_leaves(warehouse: Warehouse, batch: MakeBatch) -> None:
    batch(payment(1, **BAD), payment(2, **BAD)).settle(warehouse)
    batch(payment(9)).settle(warehouse)
    assert listed(warehouse) == [1, 2]


@on_a_warehouse
def test_a_whole_table_says_all_there_is_to_say(warehouse: Warehouse, batch: MakeBatch) -> None:
    batch(payment(1, **BAD), payment(2, **BAD), payment(None), content=Capture.WHOLE).settle(warehouse)
    assert listed(warehouse) == [1, 2, None]
    batch(payment(2, **BAD), payment(3), content=Capture.WHOLE).settle(warehouse)
    assert listed(warehouse) == [2]


@on_a_warehouse
def test_rows_of_other_tables_are_none_of_its_business(warehouse: Warehouse, batch: MakeBatch) -> None:
    warehouse.run("insert into quarantine values ('payment_type', 1, 'r', 1, 'p'), ('staff', null, 'r', 1, 'p')")
    batch(payment(1, **BAD), content=Capture.WHOLE).settle(warehouse)
    batch(payment(1), content=Capture.WHOLE, live=[]).settle(warehouse)
    assert [row[:2] for row in warehouse.ask(LISTED)] == [("payment_type", 1), ("staff", None)]


@on_a_warehouse
def test_a_batch_that_changes_nothing_of_the_list_leaves_its_rows_untouched(
    warehouse: Warehouse, batch: MakeBatch
) -> None:
    batch(payment(1, **BAD)).settle(warehouse)
    before = warehouse.ask("select ctid::text, xmin::text from quarantine")
    batch(payment(2), live=[1, 2]).settle(warehouse)
    assert warehouse.ask("select ctid::text, xmin::text from quarantine") == before


def test_the_keys_that_live_are_those_of_the_whole_table_also_of_rows_set_aside(batch: MakeBatch) -> None:
    made = batch(payment(1, **BAD), payment(None), payment(2), content=Capture.WHOLE)
    parts = live_keys(made.ingestion, "payment", made.manifest.tables["payment"])
    assert parts is not None
    ((path, keys),) = parts
    assert path == "payment/batch=0000000001/part-00000"
    assert keys.column(0).to_pylist() == [1, 2]
    assert not keys.schema.field("payment_id").nullable


def test_where_changes_are_all_that_is_known_no_key_is_known_to_be_gone(batch: MakeBatch) -> None:
    made = batch(payment(1))
    assert live_keys(made.ingestion, "payment", made.manifest.tables["payment"]) is None


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
    entry = made.manifest.tables["payment"].model_copy(update={"live_keys": (part,)})
    parts = live_keys(made.ingestion, "payment", entry)
    assert parts is not None
    with pytest.raises(PartSchemaError, match=path):
        list(parts)


# Accounting


def test_rows_that_arrived_and_rows_set_aside_are_all_that_were_ingested(batch: MakeBatch) -> None:
    incoming = batch(payment(1, **BAD), payment(2), payment(3)).incoming()
    arrived = sum(rows.num_rows for _, rows in incoming)
    assert (incoming.ingested, arrived, incoming.quarantined) == (3, 2, 1)
    incoming.see_that_all_are_accounted_for(1, arrived)


@pytest.mark.parametrize("arrived", [0, 1, 3, 4])
def test_rows_lost_or_doubled_are_told_in_numbers(batch: MakeBatch, arrived: int) -> None:
    incoming = batch(payment(1, **BAD), payment(2), payment(3)).incoming()
    list(incoming)
    with pytest.raises(
        RowsUnaccountedError,
        match=f"Batch 1 has 3 rows of payment, but {arrived} of them arrived for fact_payment, and 1 are in quarantine",
    ):
        incoming.see_that_all_are_accounted_for(1, arrived)


@on_a_warehouse
def test_a_quarantined_part_that_was_lost_is_made_anew(warehouse: Warehouse, batch: MakeBatch) -> None:
    made = batch(payment(1, **BAD), payment(2))
    (part,) = star_parts("fact_payment", made.manifest)
    done = remodel_part(part, made.ingestion)
    assert made.processed.create_part(part.path, done.rows)  # and no quarantined one, as if somebody had lost it
    made.settle(warehouse)
    assert listed(warehouse) == [1]
    assert made.processed.read_part(part.quarantine).equals(done.quarantined)


def test_what_is_remodelled_already_is_read_and_not_made_anew(batch: MakeBatch) -> None:
    made = batch(payment(1, **BAD), payment(2))
    (part,) = star_parts("fact_payment", made.manifest)
    write_star(made.processed, [(part, remodel_part(part, made.ingestion))])
    nowhere = Incoming.of(
        "fact_payment", made.manifest, Zone(made.ingestion.url + "-elsewhere"), made.processed, silent
    )
    assert [rows.num_rows for _, rows in nowhere] == [1]
    assert nowhere.quarantined == 1
