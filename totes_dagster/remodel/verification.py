"""Verifying the parts of the processed zone that are not loaded yet: whether their rows keep the contract."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from sqlalchemy import Table

from totes_dagster.errors import PartMissingError
from totes_dagster.lake.batch_log import BatchLog
from totes_dagster.lake.manifest import Manifest
from totes_dagster.lake.processed import star_parts
from totes_dagster.lake.zone import Zone
from totes_dagster.remodel.contract import breaches_of
from totes_dagster.remodel.frames import to_frame
from totes_dagster.schema.star import natural_key_of

_MAX_REPEATED_KEYS = 5


@dataclass
class Verification:
    """What the batches that are not loaded yet bring to one star table.

    Attributes:
        batches: how many of them bring rows.
        rows: how many rows they bring.
        nulls: for each NOT NULL column, how many rows have no value.
        repeated: how many rows share their key with another row of their batch.
        repeated_keys: the first few of these keys.
    """

    batches: int = 0
    rows: int = 0
    nulls: Counter[str] = field(default_factory=Counter)
    repeated: int = 0
    repeated_keys: list[str] = field(default_factory=list)


def waiting_batches(loaded: int, ingestion: Zone) -> list[Manifest]:
    """The manifests of the batches that are committed but not loaded yet.

    Args:
        loaded: the newest batch that the warehouse has loaded.
        ingestion: the zone with the manifests.
    """
    log = BatchLog(ingestion)
    return [log.manifest(batch) for batch in range(loaded + 1, log.head() + 1)]


def verify_waiting(star: Table, manifests: Iterable[Manifest], processed: Zone) -> Verification:
    """Verify every part of a star table that was remodelled but is not loaded yet.

    Args:
        star: the star table.
        manifests: manifests of the batches that are not loaded yet; see `waiting_batches`.
        processed: the zone with the parts. Parts that are missing there are skipped; the load remodels them.

    Raises:
        PartError: a part is empty or damaged.
    """
    found = Verification()
    for manifest in manifests:
        keys = []
        for part in star_parts(star.name, manifest):
            try:
                rows = processed.read_part(part.path)
            except PartMissingError:
                continue
            found.rows += rows.num_rows
            keys.append(rows.column(natural_key_of(star)))
            breaches = breaches_of(star, to_frame(rows))
            found.nulls.update(column for of_row in breaches.values() for column, kind in of_row if kind == "null")
        found.batches += bool(keys)
        _count_repeated(found, keys)
    return found


def _count_repeated(found: Verification, keys: list[pa.ChunkedArray]) -> None:
    if not keys:
        return
    # Sorted, and not hashed: that takes four bytes for each key, and they mostly are in order.
    chunks = [chunk.drop_null() for column in keys for chunk in column.chunks]
    ordered = np.sort(np.concatenate([chunk.to_numpy(zero_copy_only=False) for chunk in chunks]))
    same_as_next = ordered[1:] == ordered[:-1]
    repeated = np.unique(ordered[1:][same_as_next])
    found.repeated += int(np.count_nonzero(same_as_next)) + len(repeated)
    found.repeated_keys += map(str, repeated[: _MAX_REPEATED_KEYS - len(found.repeated_keys)].tolist())
