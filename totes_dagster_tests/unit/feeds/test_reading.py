"""Reading files: what was written is read, however it arrives in pieces, and what cannot be read is refused."""

import csv
import gzip
import io
import json
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from totes_dagster.errors import FileRefusedError
from totes_dagster.feeds import reading
from totes_dagster.feeds.reading import LONGEST_ROW, Header, RawRow, rows_of

BOM = b"\xef\xbb\xbf"

_ANY = st.characters(exclude_categories=["Cs"])
_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**38), 10**38)
    | st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**9), max_value=10**9)
    | st.text(_ANY, max_size=30)
)
LINE = b'{"a": "' + b"x" * 1_000 + b'"}\n'

_OBJECTS = st.dictionaries(st.text(_ANY, max_size=8), _SCALARS, max_size=5)


def _printed(value: Any) -> str:
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)}: {_printed(each)}" for key, each in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False)


@st.composite
def _arrivals(draw: st.DrawFn) -> Callable[[bytes], list[bytes]]:
    """Ways in which the bytes of a file may arrive: with a byte order mark or compressed, and in pieces."""
    has_mark, members = draw(st.booleans()), draw(st.integers(0, 3))
    cuts = draw(st.lists(st.integers(0, 400), max_size=12))

    def arrive(content: bytes) -> list[bytes]:
        data = BOM + content if has_mark else content
        if members:
            places = [len(data) * number // members for number in range(members + 1)]
            data = b"".join(gzip.compress(data[start:end]) for start, end in pairwise(places)) + b"\0" * (members - 1)
        places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
        return [data[start:end] for start, end in pairwise(places)]

    return arrive


@contextmanager
def looking_at(characters: int) -> Iterator[None]:
    """Let the reader look at small pieces, as if the file were large."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "_PIECE", characters)
        yield


def read(*pieces: bytes) -> list[Header | RawRow]:
    return list(rows_of(pieces))


def values(rows: list[Header | RawRow]) -> list[Any]:
    return [row.values for row in rows if isinstance(row, RawRow)]


def same(left: Any, right: Any) -> bool:
    """Whether values are equal and of the same type: true is not 1."""
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    return left == right and type(left) is type(right)


@given(st.lists(_OBJECTS, max_size=5), _arrivals(), st.sampled_from(["\n", "\r\n", "\n \n"]), st.booleans())
def test_objects_on_lines_are_read_as_written(
    objects: list[dict[str, Any]], arrive: Callable[[bytes], list[bytes]], end: str, is_ended: bool
) -> None:
    text = end.join(map(_printed, objects)) + (end if is_ended else "")
    with looking_at(1):
        rows = read(*arrive(text.encode()))
    assert all(same(found, written) for found, written in zip(values(rows), objects, strict=True))
    lines = text.replace("\r", "").split("\n")
    assert [json.loads(lines[row.line - 1]) for row in rows if isinstance(row, RawRow)] == [
        json.loads(_printed(written)) for written in objects
    ]


@given(st.lists(_OBJECTS, max_size=5), _arrivals(), st.sampled_from(["", " ", "\r\n\t"]))
def test_objects_in_an_array_are_read_as_written_and_numbered(
    objects: list[dict[str, Any]], arrive: Callable[[bytes], list[bytes]], blank: str
) -> None:
    between = f"{blank},{blank}"
    text = f"{blank}[{blank}{between.join(map(_printed, objects))}{blank}]{blank}"
    with looking_at(1):
        rows = read(*arrive(text.encode()))
    assert all(same(found, written) for found, written in zip(values(rows), objects, strict=True))
    assert [row.line for row in rows if isinstance(row, RawRow)] == list(range(1, len(objects) + 1))


@given(st.data(), st.integers(1, 4), _arrivals(), st.sampled_from(["\n", "\r\n"]))
def test_rows_of_csv_are_read_as_written_with_the_line_they_begin_on(
    data: st.DataObject, width: int, arrive: Callable[[bytes], list[bytes]], end: str
) -> None:
    header = [f"column {number}" for number in range(width)]
    rows = data.draw(st.lists(st.lists(st.text(_ANY, max_size=12), min_size=width, max_size=width), max_size=5))
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerow(header)
    begins = []
    for row in rows:
        begins.append(file.getvalue().count("\n") + 1)
        writer.writerow(row)
    with looking_at(1):
        first, *found = read(*arrive(file.getvalue().encode()))
    assert first == Header(tuple(header))
    assert values(found) == [dict(zip(header, row, strict=True)) for row in rows]
    # A carriage return in a field ends a line for the csv module, and for no editor.
    if not any("\r" in field for row in rows for field in row):
        assert [row.line for row in found if isinstance(row, RawRow)] == begins


@given(
    st.binary(max_size=300)
    | st.text(st.sampled_from('{}[]":,\\ \n\r\t\0\ufeff"0123456789.eE+-tfnulNa'), max_size=300).map(str.encode),
    st.lists(st.integers(0, 300), max_size=8),
)
def test_whatever_the_bytes_are_they_are_read_or_refused_however_they_are_cut(content: bytes, cuts: list[int]) -> None:
    def outcome(pieces: list[bytes]) -> list[Header | RawRow] | str:
        try:
            return read(*pieces)
        except FileRefusedError as error:
            return str(error)

    places = sorted({0, len(content), *(cut for cut in cuts if cut < len(content))})
    whole = outcome([content])
    with looking_at(1):
        assert outcome([content[start:end] for start, end in pairwise(places)]) == whole


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ('{"a": 1, "a": 1}', "it has a key twice"),
        ('{"a": NaN}', "NaN is no number"),
        ('{"a": -Infinity}', "-Infinity is no number"),
        ('{"a": ' + "1" * 41 + "}", "a number that is too long"),
        ('{"a": 1e' + "9" * 30 + "}", "exponent is too large"),
        ('{"a": "\n'[:-1] + '\t"}', "Invalid control character"),
        ('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}", "nested too deeply"),
        ('{"a": 1} {}', "Extra data"),
        ("[]", "not a JSON object"),
        ("7", "not a JSON object"),
    ],
)
def test_a_line_that_cannot_be_read_is_a_row_with_the_reason_and_the_next_is_read(text: str, wrong: str) -> None:
    before, bad, after = read(f'{{"b": 1}}\n{text}\n{{"b": 2}}\n'.encode())
    assert isinstance(bad, RawRow)
    assert wrong in bad.wrong
    assert (bad.line, bad.values, bad.text) == (2, None, text)
    assert values([before, after]) == [{"b": 1}, {"b": 2}]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b'[{"a": 1, "a": 1}]', "a key twice"),
        (b'[{"a": 1e' + b"9" * 30 + b"}]", "exponent is too large"),
        (b'[{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}]", "nested too deeply"),
        (b'[{"a": 1}', "ends too early"),
        (b'[{"a": 1}, ', "ends too early"),
        (b'[{"a": 1} {"a": 2}]', "no comma after element 1"),
        (b'[{"a": 1},]', "Element 2 of its JSON array is not an object"),
        (b"[1]", "Element 1 of its JSON array is not an object"),
        (b'[{"a": 1}] 2', "something after its end"),
        (b"a,b,a\n1,2,3\n", "names a column twice"),
        (b'a,b\n"1,2\n', "is not CSV"),
        (b'a,b\n"1"x,2\n', "is not CSV"),
        ("a,b\n1,ü\n".encode("latin-1"), "not UTF-8"),
        ("a,b\n1,2\n".encode("utf-16"), "not UTF-8"),
        (b"a,b\n1,\xed\xa0\x80\n", "not UTF-8"),
        (gzip.compress(b"a,b\n1,2\n")[:-5], "ends too early"),
        (gzip.compress(b"a,b\n1,2\n")[:-8] + b"\0" * 8, "damaged"),
        (gzip.compress(b"a,b\n1,2\n") + b"more", "damaged"),
    ],
)
def test_a_file_that_cannot_be_read_to_its_end_is_refused_with_the_reason(content: bytes, reason: str) -> None:
    with pytest.raises(FileRefusedError, match=reason):
        read(content)


def test_a_row_of_csv_with_another_number_of_fields_cannot_be_read() -> None:
    _, short, good, long = read(b"a,b\n1\n\n1,2\n1,2,3\n")
    assert isinstance(short, RawRow)
    assert isinstance(long, RawRow)
    assert (short.line, short.wrong) == (2, "does not have the header's 2 fields, but 1")
    assert (long.line, long.wrong) == (5, "does not have the header's 2 fields, but 3")
    assert values([good]) == [{"a": "1", "b": "2"}]


@pytest.mark.parametrize("content", [b"", BOM, b" \r\n\t\n", gzip.compress(b""), b"[]", b"[ ]\n"])
def test_a_file_without_rows_has_none(content: bytes) -> None:
    assert read(content) == []


def endless(*pieces: bytes) -> Iterator[bytes]:
    """Some pieces, the last of which comes again and again: a reader without a bound would never end."""
    yield from pieces
    while True:
        yield pieces[-1]


@pytest.mark.parametrize(
    ("pieces", "reason"),
    [
        ([b'{"a": "', b"x" * 65_536], r"Line 1 has more than 1,048,576 characters"),
        ([b'[{"a": "', b"x" * 65_536], r"longer than 1,048,576 characters"),
        ([b'a,b\n1,2\n"', b"x\n" * 32_768], r"field larger than field limit"),
        ([b"a,b\n1,2\n", b'"\n",' * 16_384], r"The row in line 3 has more than 1,048,576 characters"),
        ([b" " * 65_536], "begins with more than 1,048,576 blanks"),
        ([LINE * 64], "has more than 4,194,304 bytes, uncompressed"),
    ],
)
def test_a_line_a_row_and_a_file_are_bounded(pieces: list[bytes], reason: str) -> None:
    with pytest.raises(FileRefusedError, match=reason):
        for _ in rows_of(endless(*pieces), most_bytes=4 << 20):
            pass


def test_an_object_in_an_array_may_be_as_long_as_a_line_and_no_longer() -> None:
    def array(length: int) -> bytes:
        first = '{"a": "' + "x" * (length - 9) + '"}'
        assert len(first) == length
        return f'[{first}, {{"a": 2}}]'.encode()

    assert len(read(array(LONGEST_ROW))) == 2
    with pytest.raises(FileRefusedError, match="Element 1 of its JSON array has more than 1,048,576 characters"):
        read(array(LONGEST_ROW + 1))


@contextmanager
def memory_of_at_most(most: int) -> Iterator[None]:
    """Check that the block never allocates more than so many bytes."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < most
    finally:
        tracemalloc.stop()


def test_a_bomb_of_gzip_is_refused_in_little_memory() -> None:
    bomb = gzip.compress(LINE * (64 << 10)) * 20
    assert len(bomb) < 8 << 20
    with (
        memory_of_at_most((8 << 20) + 2 * len(bomb)),
        pytest.raises(FileRefusedError, match="more than 2,097,152 bytes, uncompressed"),
    ):
        for _ in rows_of([bomb], most_bytes=2 << 20):
            pass


def test_a_large_file_is_read_in_little_memory() -> None:
    with memory_of_at_most(2 << 20):
        assert sum(isinstance(row, RawRow) for row in rows_of(LINE * 64 for _ in range(300))) == 64 * 300
