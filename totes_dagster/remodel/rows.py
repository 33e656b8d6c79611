"""Remodelling rows: source rows become rows of a star table, or go to quarantine with the reason.

Which parts are read and written is in `run.py`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pandas as pd
import pyarrow as pa

from totes_dagster.lake.ingested import UNFIT_VALUES, with_unfit_values
from totes_dagster.lake.processed import RowCounts, star_schema
from totes_dagster.remodel.frames import to_frame, to_table
from totes_dagster.remodel.quarantine import quarantine, rows_to_look_up
from totes_dagster.remodel.tables import calendar, dimensions, facts
from totes_dagster.schema.registry import STAR_TABLES, inputs_of, references_to_inputs


@dataclass(frozen=True)
class Remodelled:
    """The result of remodelling source rows.

    Attributes:
        rows: rows of a star table, in `star_schema`; their metadata are `RowCounts`.
        quarantined: the source rows that could not become rows of it, in `quarantine_schema`.
    """

    rows: pa.Table
    quarantined: pa.Table


def function_of(star: str) -> Callable[..., pd.DataFrame]:
    """The pure function in `tables/` that computes a star table; it has the table's name.

    Raises:
        TypeError: there is no such function.
    """
    for module in (calendar, dimensions, facts):
        function: Callable[..., pd.DataFrame] | None = vars(module).get(star)
        if function is not None:
            return function
    raise TypeError(f"No function computes {star}: add one of that name to a module in totes_dagster/remodel/tables/.")


def remodel_rows(star: str, inputs: Mapping[str, pa.Table]) -> Remodelled:
    """Remodel source rows into rows of a star table, one for one, except for those that go to quarantine.

    Args:
        star: any star table except the calendar.
        inputs: the ingested rows of each source table that it is computed from.
    """
    table = STAR_TABLES[star]
    driving, *lookups = inputs_of(star)
    ingested = with_unfit_values(inputs[driving])
    looked_up = {name: rows_to_look_up(table, name, with_unfit_values(inputs[name])) for name in lookups}
    frames = (rows.drop_columns(UNFIT_VALUES) for rows in (ingested, *(rows for rows, _ in looked_up.values())))
    computed = function_of(star)(*map(to_frame, frames))
    unusable = {column: looked_up[name][1] for column, name in references_to_inputs(star).items()}
    kept, quarantined = quarantine(table, ingested, computed, unusable)
    counts = RowCounts(ingested.num_rows, quarantined.num_rows)
    return Remodelled(counts.attached_to(to_table(kept, star_schema(star))), quarantined)
