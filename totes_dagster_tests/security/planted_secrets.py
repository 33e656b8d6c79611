"""Secrets that are recognised wherever they turn up, whole or in pieces, whatever was done to their characters."""

import base64
import json
import re
import sqlite3
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


@dataclass(frozen=True)
class Planted:
    """A secret with all that is special in URLs, connection strings, JSON, shells and headers between its pieces.

    Encodings change what is special and leave letters and digits alone, so a piece is found in any of them, also where
    only a part of the secret was taken for something else and shown. Of encodings that change all, whole bytes are
    looked for. Every place has pieces of its own, by which a find tells where it came from.
    """

    place: str

    @property
    def _pieces(self) -> list[str]:
        return [f"{self.place}{fruit}" for fruit in ("kiwi", "plum", "fig", "lime", "pear", "date")]

    @property
    def text(self) -> str:
        one, two, three, four, five, six = self._pieces
        return f"pä {one} {two}/{three}@{four}:%41{five}'\\\"{six}"

    def forms(self) -> list[bytes]:
        """What to look for, in lower case."""
        found = [piece.encode() for piece in self._pieces]
        for piece in self._pieces:
            found += [piece.encode().hex().encode(), piece.encode("utf-16-le")]
            # What base64 makes of some bytes depends on where they begin; of their ends, also on what is around them.
            for shift in range(3):
                encoded = base64.b64encode(b"x" * shift + piece.encode())
                found.append(encoded[(0, 2, 3)[shift] : -4])
        return [form.lower() for form in found]

    def is_in(self, data: bytes) -> bool:
        """Whether anything of it shows in some bytes, in letters of either case."""
        return any(form in data for form in self.forms())
...
