"""Verifying the parts of the processed zone that are not loaded yet: whether their rows keep the contract."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from sqlalchemy import Column, Table

from totes_dagster.errors import PartMissingError
from totes_dagster.lake.batch_log import BatchLog
from totes_dagster.lake.key_set import KeySet
from totes_dagster.lake.manifest import Manifest
from totes_dagster.lake.processed import star_parts
from totes_dagster.lake.zone import Zone
from totes_dagster.remodel.contract import breaches_of
from totes_dagster.remodel.frames import to_frame
from totes_dagster.schema.arrow import arrow_type
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
        keys, repeated = KeySet(), [np.empty(0, np.int32)]
        before = found.rows
        for part in star_parts(star.name, manifest):
            try:
                rows = processed.read_part(part.path)
            except PartMissingError:
                continue
            found.rows += rows.num_rows
            # The calendar's keys are days, by their number.
            column = rows.column(natural_key_of(star)).drop_null()
            repeated += [keys.add(chunk.view(pa.int32())) for chunk in column.chunks]
            breaches = breaches_of(star, to_frame(rows))
            found.nulls.update(column for of_row in breaches.values() for column, kind in of_row if kind == "null")
        found.batches += found.rows > before
        _count_repeated(found, np.concatenate(repeated), star.columns[natural_key_of(star)])
    return found


def _count_repeated(found: Verification, repeated: np.ndarray, key: Column[Any]) -> None:
    """Count rows that share their key with another one, by the keys that occur before."""
    different = np.unique(repeated)
    found.repeated += len(repeated) + len(different)
    few = pa.array(different[: _MAX_REPEATED_KEYS - len(found.repeated_keys)], pa.int32()).view(arrow_type(key))
    found.repeated_keys += map(str, few.to_pylist())
