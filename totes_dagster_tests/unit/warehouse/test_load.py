"""The load of one batch on a real warehouse: the list of quarantined rows, and parts that cannot be loaded."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from totes_dagster.errors import PartDamagedError, PartSchemaError, RowsRepeatedError
from totes_dagster.lake.processed import StarPart
from totes_dagster.schema.totesys import Capture
from totes_dagster.warehouse.loaded import LoadedTable
from totes_dagster_tests.unit.manifests import quarantine_path
from totes_dagster_tests.unit.warehouse.batches import PAYMENTS, Batch, MakeBatch, payment
from totes_dagster_tests.unit.warehouses import NewWarehouse

pytestmark = pytest.mark.parametrize("warehouse", ["public"], indirect=True)

BAD = {"payment_date": "soon"}
SOON = "payment_date must have a value, but payment.payment_date is 'soon'"
LISTED = "select source_table, source_key, reason, batch, part from quarantine order by source_table, source_key"


def listed(warehouse: NewWarehouse) -> list[int | None]:
    return [key for _, key, *_ in warehouse.ask(LISTED)]


# The list of quarantined rows


def test_a_row_that_is_set_aside_is_listed_with_its_reason_its_batch_and_its_part(
    warehouse: NewWarehouse, batch: MakeBatch
) -> None:
    batch(payment(1, **BAD), payment(2)).remodel_and_load(warehouse)
    assert warehouse.ask(LISTED) == [("payment", 1, SOON, 1, quarantine_path("fact_payment", 1))]


def test_a_row_that_comes_again_leaves_the_list_or_is_listed_anew(warehouse: NewWarehouse, batch: MakeBatch) -> None:
    batch(*(payment(key, **BAD) for key in (1, 2, 3))).remodel_and_load(warehouse)
    batch(payment(1), payment(2, payment_date="")).remodel_and_load(warehouse)
    assert [(key, reason, number) for _, key, reason, number, _ in warehouse.ask(LISTED)] == [
        (2, SOON.replace("soon", ""), 2),
        (3, SOON, 1),
    ]


def test_a_row_whose_key_is_gone_leaves_the_list_and_those_that_live_stay(
    warehouse: NewWarehouse, batch: MakeBatch
) -> None:
    batch(*(payment(key, **BAD) for key in (1, 2, 3))).remodel_and_load(warehouse)
    batch(payment(9), live=[1, 3, 9]).remodel_and_load(warehouse)
    assert listed(warehouse) == [1, 3]
    batch(live=[1]).remodel_and_load(warehouse)
    assert listed(warehouse) == [1]
    batch(live=[]).remodel_and_load(warehouse)
    assert listed(warehouse) == []


def test_without_a_word_on_the_keys_that_live_nobody_leaves(warehouse: NewWarehouse, batch: MakeBatch) -> None:
    batch(payment(1, **BAD), payment(2, **BAD)).remodel_and_load(warehouse)
    batch(payment(9)).remodel_and_load(warehouse)
    assert listed(warehouse) == [1, 2]


def test_a_whole_table_says_all_there_is_to_say(warehouse: NewWarehouse, batch: MakeBatch) -> None:
    batch(payment(1, **BAD), payment(2, **BAD), payment(None), content=Capture.WHOLE).remodel_and_load(warehouse)
    assert listed(warehouse) == [1, 2, None]
    batch(payment(2, **BAD), payment(3), content=Capture.WHOLE).remodel_and_load(warehouse)
    assert listed(warehouse) == [2]


def test_rows_of_other_tables_are_none_of_its_business(warehouse: NewWarehouse, batch: MakeBatch) -> None:
    warehouse.run("insert into quarantine values ('payment_type', 1, 'r', 1, 'p'), ('staff', null, 'r', 1, 'p')")
    batch(payment(1, **BAD), content=Capture.WHOLE).remodel_and_load(warehouse)
    batch(payment(1), content=Capture.WHOLE, live=[]).remodel_and_load(warehouse)
    assert [row[:2] for row in warehouse.ask(LISTED)] == [("payment_type", 1), ("staff", None)]


def test_a_batch_that_changes_nothing_of_the_list_leaves_its_rows_untouched(
    warehouse: NewWarehouse, batch: MakeBatch
) -> None:
    batch(payment(1, **BAD)).remodel_and_load(warehouse)
    before = warehouse.ask("select ctid::text, xmin::text from quarantine")
    batch(payment(2), live=[1, 2]).remodel_and_load(warehouse)
    assert warehouse.ask("select ctid::text, xmin::text from quarantine") == before


def test_a_quarantined_part_that_was_lost_is_made_anew(warehouse: NewWarehouse, batch: MakeBatch) -> None:
    made = batch(payment(1, **BAD), payment(2))
    ((part, contents),) = ((each.part, each.contents) for each in made.remodel())
    (Path(made.lake.processed.url.removeprefix("file://")) / part.quarantine).unlink()
    made.load(warehouse)
    assert listed(warehouse) == [1]
    assert made.lake.processed.read_part(part.quarantine).equals(contents.quarantined)


# Parts


def test_a_load_says_what_it_did_with_every_row(warehouse: NewWarehouse, batch: MakeBatch) -> None:
    loaded = batch(payment(1, **BAD), payment(2), payment(3)).remodel_and_load(warehouse)
    assert loaded.batch == 1
    assert loaded.tables[PAYMENTS] == LoadedTable(ingested=3, staged=2, new=2, quarantined=1)
    history = "select batch, manifest_sha256, tables->'fact_payment'->>'quarantined' from load_history"
    assert warehouse.ask(history) == [(1, "digest", "1")]


DROP_FOREIGN_KEYS = """
do $$
declare name text;
begin
    for name in select conname from pg_constraint where contype = 'f' and conrelid = 'fact_payment'::regclass loop
        execute format('alter table fact_payment drop constraint %I', name);
    end loop;
end $$
"""
"""Without them, the first load copies its rows straight into the fact."""


@pytest.fixture(params=["copied", "staged"])
def either_way(warehouse: NewWarehouse, request: pytest.FixtureRequest) -> NewWarehouse:
    """A warehouse whose first load copies rows straight into a fact, and one whose first load stages them."""
    if request.param == "copied":
        warehouse.run(DROP_FOREIGN_KEYS)
    return warehouse


def two_parts(folder: Path) -> Batch:
    """A batch of two parts, both remodelled."""
    made = Batch(folder, 1, [payment(1)], [payment(2)], live=None)
    made.remodel()
    return made


def file_of(made: Batch, part: StarPart) -> Path:
    return Path(made.lake.processed.url.removeprefix("file://")) / part.path


def test_a_part_of_other_types_is_refused_before_any_of_it_reaches_a_table(
    either_way: NewWarehouse, tmp_path: Path
) -> None:
    made = two_parts(tmp_path)
    _, second = made.star_parts
    file = file_of(made, second)
    rows = pq.read_table(file)
    place = rows.column_names.index("transaction_id")
    pq.write_table(rows.set_column(place, "transaction_id", rows.column(place).cast(pa.int64())), file)
    with pytest.raises(PartSchemaError, match=f"The part {second.path} does not have the columns of fact_payment"):
        made.load(either_way)
    assert either_way.ask("select count(*) from fact_payment") == [(0,)]
    assert either_way.ask("select count(*) from load_history") == [(0,)]


def test_what_fails_while_parts_are_read_is_said_as_it_is(either_way: NewWarehouse, tmp_path: Path) -> None:
    made = two_parts(tmp_path)
    _, second = made.star_parts
    file_of(made, second).write_bytes(b"PAR1 and nothing more")
    with pytest.raises(PartDamagedError, match=f"^The part {second.path} in .* is damaged: "):
        made.load(either_way)
    assert either_way.ask("select count(*) from fact_payment") == [(0,)]


def test_all_parts_of_a_batch_are_loaded(either_way: NewWarehouse, tmp_path: Path) -> None:
    two_parts(tmp_path).load(either_way)
    assert either_way.ask("select payment_id, batch from fact_payment order by 1") == [(1, 1), (2, 1)]


# Rows that are not what a batch may bring


def test_rows_that_share_a_key_are_not_loaded(warehouse: NewWarehouse, batch: MakeBatch) -> None:
    made = batch(payment(1), payment(2), payment(3))
    made.remodel()
    (part,) = made.star_parts
    rows = made.lake.processed.read_part(part.path)
    path = Path(made.lake.processed.url.removeprefix("file://"), part.path)
    pq.write_table(rows.take([0, 1, 1]), path)
    with pytest.raises(RowsRepeatedError, match="several rows of fact_payment with the same payment_id: 3 rows, but 2"):
        made.load(warehouse)
    assert warehouse.ask("select count(*) from fact_payment") == [(0,)]
