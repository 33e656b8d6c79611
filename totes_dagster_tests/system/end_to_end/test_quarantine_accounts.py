"""The list of quarantined rows: the lake alone tells it anew, tampering is found out, and races leave it right."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from totes_dagster.errors import RowsUnaccountedError
from totes_dagster.lake.zone import Zone
from totes_dagster.pipeline import ingest, load, remodel
from totes_dagster.schema.registry import STAR_TABLES
from totes_dagster.warehouse.migrations import migrate
from totes_dagster_tests.system.end_to_end.badness import EDIT, KEYLESS, LIST, MENDED, SOON, TWIN, nullable
from totes_dagster_tests.system.end_to_end.witness import Witness
from totes_dagster_tests.system.platforms import warehouse_at
from totes_dagster_tests.world import World, of_the_older_source


@of_the_older_source
def test_the_lake_alone_tells_which_rows_are_set_aside(
    witness: Witness, database: Callable[..., str], tmp_path: Path
) -> None:
    witness.change(SOON.format(7), SOON.format(8), *nullable("design.file_name"), "update design set file_name = null")
    witness.refresh()
    witness.change(KEYLESS, TWIN, MENDED.format(8), "delete from design where design_id = 1")
    witness.refresh()
    witness.change(EDIT.format(9))
    witness.refresh()
    listed = witness.world.ask(LIST)
    assert len(listed) > 20

    platform = witness.world.platform
    lake = replace(platform.lake, processed=Zone((tmp_path / "anew").as_uri()))
    anew = replace(platform, lake=lake, warehouse=warehouse_at(database("rebuilt")))
    for star in STAR_TABLES:
        remodel(star, anew.lake)
    migrate(anew.warehouse)
    load(anew.warehouse, anew.lake)
    assert World(anew).ask(LIST) == listed
    paths = witness.world.platform.lake.processed.paths("quarantine")
    assert anew.lake.processed.paths("quarantine") == paths
    assert all(anew.lake.processed.read(path) == witness.world.platform.lake.processed.read(path) for path in paths)


def shorter(rows: pa.Table) -> pa.Table:
    return rows.slice(1)


def doubled(rows: pa.Table) -> pa.Table:
    return pa.concat_tables([rows, rows]).replace_schema_metadata(rows.schema.metadata)


def silent_on_the_quarantine(rows: pa.Table) -> pa.Table:
    return rows.replace_schema_metadata(None)


TAMPERED = [
    ("fact_sales_order", shorter),
    ("fact_sales_order", doubled),
    ("fact_sales_order", silent_on_the_quarantine),
    ("quarantine/sales_order", shorter),
    ("quarantine/sales_order", doubled),
    ("dim_design", shorter),
]


def test_rows_that_somebody_takes_out_or_puts_in_are_missed_or_found_before_the_batch_is_loaded(
    witness: Witness,
) -> None:
    platform = witness.world.platform
    witness.change(SOON.format(7), EDIT.format(8), "update design set file_name = 'other'")
    ingest(platform.source, platform.lake.ingestion)
    for star in STAR_TABLES:
        remodel(star, platform.lake)
    before = everything(witness.world)
    for folder, tamper in TAMPERED:
        (path,) = (path for path in platform.lake.processed.paths(folder) if "batch=0000000002" in path)
        file = Path(platform.lake.processed.url.removeprefix("file://")) / path
        whole = file.read_bytes()
        pq.write_table(tamper(pq.read_table(pa.BufferReader(whole))), file)
        with pytest.raises(RowsUnaccountedError, match=r"Batch 2 has .* rows of (sales_order|design), but "):
            load(platform.warehouse, platform.lake)
        assert everything(witness.world) == before, (folder, tamper)
        file.write_bytes(whole)
    witness.refresh()


def everything(world: World) -> list[list[Any]]:
    tables = ("fact_sales_order", "dim_design", "quarantine", "load_history")
    return [world.ask(f"select * from {table} order by 1") for table in tables]


def test_refreshes_that_race_leave_the_list_right(witness: Witness) -> None:
    witness.change(KEYLESS)
    with ThreadPoolExecutor(3) as pool:
        for change in (
            SOON.format(7),
            TWIN,
            MENDED.format(7),
            SOON.format(8),
            "delete from sales_order where units_sold = 77",
        ):
            runs = [pool.submit(witness.world.refresh) for _ in range(3)]
            witness.change(change)
            for run in runs:
                run.result(timeout=60)
    witness.world.refresh()
    assert set(witness.listed()) == {("sales_order", 8)}
    assert witness.world.ask_one("select units_sold from current_sales_order where sales_order_id = 7") != 77
    assert list(witness.unaccounted()) == []
    assert list(witness.unfounded()) == []
    assert witness.world.ask_one("select count(*) from quarantine") == 1
