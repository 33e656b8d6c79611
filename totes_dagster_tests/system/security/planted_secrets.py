"""Secrets that are recognised wherever they turn up, whole or in pieces, whatever was done to their characters."""

import base64
import sqlite3
import zlib
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

_FRUITS = ("banana", "orange", "cherry", "papaya", "quince", "loquat")


@dataclass(frozen=True)
class Planted:
    """A secret with all that is special in URLs, connection strings, JSON, shells and headers between its pieces.

    Encodings change what is special and leave letters and digits alone, so a piece is found in any of them, also where
    only a part of the secret was taken for something else and shown. Of those that change everything, hexadecimal
    digits, base64 and UTF-16 are known. Every place has pieces of its own, which tell where a find came from.
    """

    place: str

    @property
    def text(self) -> str:
        return f"pä {self.of_ascii}"

    @property
    def of_ascii(self) -> str:
        """The same for what headers of requests carry."""
        one, two, three, four, five, six = self._pieces
        return f"{one} {two}/{three}@{four}:%41{five}'\\\"{six}"

    def shows_in(self, data: bytes) -> bool:
        """Whether a piece of it is in some bytes."""
        folded = data.lower()
        return any(form in folded for form in self._folded()) or any(form in data for form in self._exact())

    @property
    def _pieces(self) -> list[str]:
        return [f"{self.place}{fruit}" for fruit in _FRUITS]

    def _folded(self) -> Iterator[bytes]:
        """Forms to be found in either case."""
        for piece in self._pieces:
            yield piece.encode()
            yield piece.encode().hex().encode()
            yield piece.encode("utf-16-le")

    def _exact(self) -> Iterator[bytes]:
        """What base64 makes of the pieces, wherever in the encoded bytes they begin; without what depends on others."""
        for piece in self._pieces:
            for before in range(3):
                yield base64.b64encode(b"x" * before + piece.encode())[4 * (before > 0) : -4]


def found(secrets: Iterable[Planted], where: str, data: bytes) -> list[str]:
    """Which of the secrets show in some bytes, with a line that each shows in."""
    lines = data.split(b"\n")
    return [
        f"{secret.place} in {where}: {next((line for line in lines if secret.shows_in(line)), b'')[:500]!r}"
        for secret in secrets
        if secret.shows_in(data)
    ]


def contents(folder: Path) -> Iterator[tuple[str, bytes]]:
    """All files of a folder, as they are and as they read once they are unpacked."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = str(path.relative_to(folder))
        data = path.read_bytes()
        yield name, data
        if data.startswith(b"SQLite format 3"):
            yield f"{name}, unpacked", b"\n".join(_values(path))
        elif name.endswith(".parquet"):
            yield f"{name}, unpacked", rows_of_part(data)


def rows_of_part(data: bytes) -> bytes:
    """A Parquet object's rows."""
    return repr(pq.read_table(pa.BufferReader(data)).to_pylist()).encode()


def _values(path: Path) -> Iterator[bytes]:
    """All values of an SQLite database; Dagster compresses some."""
    with closing(sqlite3.connect(path)) as connection:
        for (table,) in connection.execute("select name from sqlite_master where type = 'table'").fetchall():
            for row in connection.execute(f'select * from "{table}"'):
                for value in row:
                    data = value if isinstance(value, bytes) else str(value).encode()
                    with suppress(zlib.error):
                        data = zlib.decompress(data)
                    yield data
