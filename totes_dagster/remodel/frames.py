"""Between Arrow tables and the frames that the model works on, whose columns keep their Arrow types."""

import pandas as pd
import pyarrow as pa


def to_frame(table: pa.Table) -> pd.DataFrame:
    """A frame whose every column keeps its Arrow type: exact decimals and dates, never float or object."""
    return table.to_pandas(types_mapper=pd.ArrowDtype)


def to_table(frame: pd.DataFrame, schema: pa.Schema) -> pa.Table:
    """A table of exactly this schema, its columns picked from the frame by name.

    Raises:
        pyarrow.ArrowInvalid: a value does not fit its column, which the model rules out.
    """
    columns = [pa.chunked_array([pa.array(frame[field.name], from_pandas=True)]).cast(field.type) for field in schema]
    return pa.Table.from_arrays(columns, schema=schema)
