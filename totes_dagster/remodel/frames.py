"""Converting between Arrow tables and the data frames that the functions of `tables/` work on."""

import pandas as pd
import pyarrow as pa


def to_frame(table: pa.Table) -> pd.DataFrame:
    """A data frame whose columns keep their Arrow types: exact decimals and dates, never float or object."""
    return table.to_pandas(types_mapper=pd.ArrowDtype)


def to_table(frame: pd.DataFrame, schema: pa.Schema) -> pa.Table:
    """A table of exactly this schema, with the frame's columns selected by name.

    Raises:
        pyarrow.ArrowInvalid: a value does not fit its column, which the contract of the star tables rules out.
    """
    columns = [_chunked(pa.array(frame[field.name], from_pandas=True)).cast(field.type) for field in schema]
    return pa.Table.from_arrays(columns, schema=schema)


def _chunked(values: pa.Array | pa.ChunkedArray) -> pa.ChunkedArray:
    """A column as it is, if it has chunks already: building it anew would take each value through Python."""
    return values if isinstance(values, pa.ChunkedArray) else pa.chunked_array([values])
