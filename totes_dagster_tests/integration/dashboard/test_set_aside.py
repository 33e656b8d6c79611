"""What was set aside, of the source and of feeds, is counted for every page, and listed with its reason by Health."""

from pathlib import Path

from totes_dagster.dashboard.filters import Filters
from totes_dagster.dashboard.reading import SetAside, read_pages
from totes_dagster.dashboard.site import PAGES
from totes_dagster.feeds.declared import SHIPMENT
from totes_dagster_tests.feeding import feeding_from
from totes_dagster_tests.world import World


def shown(world: World) -> list[SetAside]:
    pages = read_pages(world.platform.warehouse, [(page, Filters()) for page in PAGES.values()])
    return [data.set_aside for data in pages]


def test_a_row_of_the_source_is_counted(world: World) -> None:
    assert shown(world) == [SetAside()] * len(PAGES)
    world.change("update sales_order set agreed_delivery_date = 'soon' where sales_order_id = 1")
    world.refresh()
    assert shown(world) == [SetAside(rows=1)] * len(PAGES)


def test_rows_of_feeds_and_refused_files_are_counted_and_listed(world: World, tmp_path: Path) -> None:
    feeding = feeding_from(world, (tmp_path / "landing").as_uri())
    for path, content in (
        ("good.jsonl", b'{"sales_order_id": 1, "delivered_at": "2026-11-26T12:00:00Z", "units": 1}'),
        ("bad.jsonl", b'{"sales_order_id": 1, "delivered_at": "soon", "units": 1}\n' * 2),
        ("torn.jsonl", b"\xff\xfe"),
    ):
        feeding.drop(SHIPMENT, path, content)
    feeding.refresh(SHIPMENT)
    assert shown(world) == [SetAside(rows_of_feeds=2, files=1)] * len(PAGES)
    (health,) = read_pages(world.platform.warehouse, [(PAGES["health"], Filters())])
    listed = {(row["comes_from"], row["key"]): row["reason"] for row in health.tables["quarantine"].rows}
    assert set(listed) == {
        ("feed shipment, bad.jsonl", "line 1"),
        ("feed shipment, bad.jsonl", "line 2"),
        ("feed shipment, torn.jsonl", "the whole file"),
    }
    assert all(listed.values())
