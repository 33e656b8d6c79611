"""Loading an input: the rows of a table as the type that the input is annotated with."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pandas as pd
import pyarrow as pa
from dagster import Failure, InputContext

from totes_dagster.orchestration.failures import run_step
from totes_dagster.reading.selection import Selection

_STREAMS = (pa.RecordBatchReader, Iterator, Iterable)
_TABLES = (pa.Table, Any)


def load_rows(context: InputContext, read: Callable[[str, Selection], pa.RecordBatchReader]) -> Any:
    """The rows of the table that an input depends on.

    The annotation of the input says as what: `pyarrow.Table` (also without an annotation), `pandas.DataFrame` with
    Arrow's types, or `pyarrow.RecordBatchReader`, an iterator that reads part by part and so needs little memory. The
    input's metadata say which rows: `batch` for those that one batch brought, `as_of` for the state as of a batch; the
    newest state otherwise.

    Args:
        context: the input.
        read: reads the table of a name.

    Raises:
        dagster.Failure: the rows cannot be read, or the annotation is another.
    """
    asked = context.dagster_type.typing_type
    if asked not in (*_STREAMS, *_TABLES, pd.DataFrame):
        raise Failure(
            f"{context.asset_key.to_user_string()} cannot be loaded as {getattr(asked, '__name__', asked)}. Annotate "
            "the input with pyarrow.Table, pyarrow.RecordBatchReader or pandas.DataFrame.",
            allow_retries=False,
        )

    def load() -> Any:
        reader = read(context.asset_key.path[-1], Selection.from_metadata(context.definition_metadata))
        if asked in _STREAMS:
            return reader
        table = reader.read_all()
        return table.to_pandas(types_mapper=pd.ArrowDtype) if asked is pd.DataFrame else table

    return run_step(load)


def refuse_output(where: str) -> Failure:
    """The failure of an asset of another owner that is to be stored where only the platform writes."""
    return Failure(
        f"Only the platform writes to {where}. Store this asset elsewhere: give it another `io_manager_key`.",
        allow_retries=False,
    )
