"""Remodelling rows that a test made up."""

import pyarrow as pa

from totes_dagster.remodel.rows import Remodelled, remodel_rows
from totes_dagster.schema.registry import inputs_of
from totes_dagster_tests.unit.rows import Row, ingested


def remodelled(star: str, *inputs: list[Row], reverse: bool = False) -> Remodelled:
    """What rows of a star table's inputs become; the columns of their parts in reverse if asked to."""
    names = inputs_of(star)
    return remodel_rows(
        star, {name: ingested(name, rows, reverse=reverse) for name, rows in zip(names, inputs, strict=True)}
    )


def sound_rows(star: str, *inputs: list[Row], reverse: bool = False) -> pa.Table:
    """The star table as the processed zone would hold it; no row may be set aside."""
    done = remodelled(star, *inputs, reverse=reverse)
    assert done.quarantined.num_rows == 0
    return done.rows
