"""Parts as Parquet: each column in the encoding that suits it, and no damage that goes unnoticed."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from totes_dagster.lake.parquet import encoded

ROWS = pa.table(
    {
        "key": pa.array(range(3_000), pa.int32()),
        "stamp": pa.array(range(10**15, 10**15 + 3_000), pa.timestamp("us")),
        "staff": pa.array([1, 2, None] * 1_000, pa.int32()),
        "note": pa.array([f"order {number}" for number in range(3_000)]),
        "currency": pa.array(["GBP", "EUR", None] * 1_000),
    }
)


def test_a_dictionary_is_for_values_that_repeat() -> None:
    group = pq.read_metadata(pa.BufferReader(encoded(ROWS))).row_group(0)
    encodings = {name: set(group.column(number).encodings) for number, name in enumerate(ROWS.column_names)}
    dictionary = {name for name, used in encodings.items() if used & {"PLAIN_DICTIONARY", "RLE_DICTIONARY"}}
    assert dictionary == {"staff", "currency"}
    assert {name for name, used in encodings.items() if "DELTA_BINARY_PACKED" in used} == {"key", "stamp"}


types = st.sampled_from([pa.int32(), pa.int64(), pa.date32(), pa.timestamp("us"), pa.time64("us")])


@given(type_=types, values=st.lists(st.none() | st.integers(0, 10_000), max_size=40))
def test_rows_are_read_as_they_were(type_: pa.DataType, values: list[int | None]) -> None:
    column = pa.array(values, pa.int32() if pa.types.is_date32(type_) else pa.int64()).cast(type_)
    rows = pa.table({"value": column})
    assert pq.read_table(pa.BufferReader(encoded(rows))).equals(rows)


@pytest.mark.parametrize("column", range(ROWS.num_columns), ids=ROWS.column_names)
def test_no_flipped_bit_is_read_as_another_value(column: int) -> None:
    whole = bytearray(encoded(ROWS).to_pybytes())
    chunk = pq.read_metadata(pa.BufferReader(bytes(whole))).row_group(0).column(column)
    start = chunk.dictionary_page_offset if chunk.has_dictionary_page else chunk.data_page_offset
    for place in range(start, start + chunk.total_compressed_size, 7):
        whole[place] ^= 0b100
        try:
            read = pq.ParquetFile(pa.BufferReader(bytes(whole)), page_checksum_verification=True).read()
        except (pa.ArrowException, OSError):
            pass
        else:
            assert read.equals(ROWS), place
        whole[place] ^= 0b100
