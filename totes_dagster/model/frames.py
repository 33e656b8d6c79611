"""Between Arrow tables and the frames that the model works on, whose columns keep their Arrow types."""

import pandas as pd
import pyarrow as pa

from totes_dagster.errors import InvalidRowsError


def to_frame(table: pa.Table) -> pd.DataFrame:
    """A frame whose every column keeps its Arrow type: exact decimals and dates, never float or object."""
    return table.to_pandas(types_mapper=pd.ArrowDtype)


def to_table(frame: pd.DataFrame, schema: pa.Schema, name: str) -> pa.Table:
    """A table of exactly this schema, its columns picked from the frame by name.

    Raises:
        InvalidRowsError: a value does not fit its column, or is null where the column needs one.
    """
    columns = []
    for field in schema:
        values = pa.array(frame[field.name], from_pandas=True)
        try:
            column = values.cast(field.type)
        except pa.ArrowInvalid as error:
            raise InvalidRowsError(f"{name}.{field.name} must be {field.type}: {error}.") from error
        if column.null_count and not field.nullable:
            key = schema.names[0]
            example = frame.loc[frame[field.name].isna(), key].iloc[0]
            raise InvalidRowsError(
                f"{name}.{field.name} must have a value, but {column.null_count} rows have none, the first where "
                f"{key} is {example}. Correct the source row; the next refresh will take it up."
            )
        columns.append(column)
    return pa.Table.from_arrays(columns, schema=schema)
