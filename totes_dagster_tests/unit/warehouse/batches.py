"""Batches of payments, each in a lake of its own."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from totes_dagster.lake.manifest import Manifest, Part, TableEntry
from totes_dagster.lake.processed import StarPart, star_parts
from totes_dagster.lake.zone import Lake, Zone
from totes_dagster.remodel.run import RemodelledPart, remodel_part, write_part
from totes_dagster.schema.totesys import Capture
from totes_dagster.warehouse.batch_load import load_in_order
from totes_dagster.warehouse.loaded import LoadedBatch
from totes_dagster_tests.unit.manifests import CENSUS, SNAPSHOT
from totes_dagster_tests.unit.rows import Row, ingested
from totes_dagster_tests.unit.warehouses import NewWarehouse

PAYMENTS = "fact_payment"


class Batch:
    """A batch that brings payments and no other table."""

    def __init__(
        self, folder: Path, number: int, *parts: list[Row], content: Capture = Capture.CHANGES, live: list[int] | None
    ) -> None:
        self.lake = Lake(Zone((folder / "ingestion").as_uri()), Zone((folder / "processed").as_uri()))
        where = f"payment/batch={number:010}"
        paths = [f"{where}/part-{place:05}" for place in range(len(parts))]
        keys = pa.table({"payment_id": pa.array(live, pa.int32())}) if live is not None else None
        entry = TableEntry(
            batch=number,
            content=content,
            census=CENSUS,
            parts=tuple(self.put(path, ingested("payment", rows)) for path, rows in zip(paths, parts, strict=True)),
            live_keys=None if keys is None else (self.put(f"live_keys/{where}/part-00000", keys),),
        )
        self.manifest = Manifest(batch=number, snapshot=SNAPSHOT, tables={"payment": entry})

    @property
    def entry(self) -> TableEntry:
        """What the manifest says of the payments."""
        return self.manifest.tables["payment"]

    @property
    def star_parts(self) -> list[StarPart]:
        """The parts that the processed zone must have of it."""
        return star_parts(PAYMENTS, self.manifest)

    def put(self, path: str, rows: pa.Table) -> Part:
        """Create an object of the ingestion zone."""
        part = self.lake.ingestion.create_part(path, rows)
        assert part is not None
        return part

    def remodel(self) -> list[RemodelledPart]:
        """Write all parts of the processed zone; return them."""
        remodelled = [remodel_part(part, self.lake) for part in self.star_parts]
        for part in remodelled:
            write_part(part, self.lake.processed)
        return remodelled

    def load(self, warehouse: NewWarehouse) -> LoadedBatch:
        """Load what the processed zone has of it."""
        with warehouse.begin() as transaction:
            (loaded,) = load_in_order(transaction, [(self.manifest, "digest")], self.lake, alone=True)
            transaction.commit()
        return loaded

    def remodel_and_load(self, warehouse: NewWarehouse) -> LoadedBatch:
        self.remodel()
        return self.load(warehouse)


MakeBatch = Callable[..., Batch]
"""Makes the next batch, of rows that come in one part."""


def batches_in(folder: Path) -> MakeBatch:
    """A function that makes one batch after the other, from the first on."""
    numbers = iter(range(1, 100))

    def make(*rows: Row, content: Capture = Capture.CHANGES, live: list[int] | None = None) -> Batch:
        number = next(numbers)
        parts = [list(rows)] if rows else []
        return Batch(folder / str(number), number, *parts, content=content, live=live)

    return make


def payment(key: int | None, **values: object) -> Row:
    return {"payment_id": key, **values}
