"""Between Arrow tables and the frames that the model works on, whose columns keep their Arrow types."""

import pandas as pd
import pyarrow as pa

from totes_dagster.errors import InvalidRowsError


def to_frame(table: pa.Table) -> pd.DataFrame:
    """A frame whose every column keeps its Arrow type: exact decimals and dates, never float or object."""
    return table.to_pandas(types_mapper=pd.ArrowDtype)


def to_table(frame: pd.DataFrame, schema: pa.Schema, name: str) -> pa.Table:
    """A table of exactly this schema, its columns picked from the frame by name; the first one is the key.

    Raises:
        InvalidRowsError: a value does not fit its column, or is null where the column needs one.
    """
    key = schema.names[0]
    columns = []
    for field in schema:
        column = cast(frame, field.name, field.type, key=key, what=f"{name}.{field.name}")
        if column.null_count and not field.nullable:
            example = frame.loc[frame[field.name].isna(), key].iloc[0]
            raise InvalidRowsError(
                f"{name}.{field.name} must have a value, but {column.null_count} rows have none, the first where "
                f"{key} is {example}. No row of its part can be remodelled."
            )
        columns.append(column)
    return pa.Table.from_arrays(columns, schema=schema)


def cast(rows: pd.DataFrame, column: str, type_: pa.DataType, *, key: str, what: str) -> pa.Array:
    """A column's values in another type; nulls stay null.

    Args:
        rows: has the column and the key.
        column: whose values to cast.
        type_: the type they must fit exactly.
        key: column that tells in the message which row it is.
        what: what the message calls the column.

    Raises:
        InvalidRowsError: a value does not fit; says which, and in which row.
    """
    values = pa.array(rows[column], from_pandas=True)
    try:
        return values.cast(type_)
    except pa.ArrowInvalid as error:
        first = _first_misfit(values, type_)
        raise InvalidRowsError(
            f"{what} must be {type_}, but is {str(values[first].as_py())!r} where {key} is {rows[key].iloc[first]}. "
            "No row of its part can be remodelled."
        ) from error


def _first_misfit(values: pa.Array, type_: pa.DataType) -> int:
    """Index of the first value that does not fit: the values up to it can be cast, those with it cannot."""
    fits, fails = 0, len(values)
    while fails - fits > 1:
        middle = (fits + fails) // 2
        try:
            values.slice(0, middle).cast(type_)
        except pa.ArrowInvalid:
            fails = middle
        else:
            fits = middle
    return fits
