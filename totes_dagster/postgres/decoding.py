"""Decoding text in a server's own encoding, by the server itself and value by value.

If a client requests UTF-8, a single value with a byte that has no equivalent there gives an error instead of all rows.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import psycopg
from psycopg.errors import CharacterNotInRepertoire, UntranslatableCharacter

from totes_dagster.errors import DatabaseError

Decoder = Callable[[Sequence[bytes]], list[str | None]]
"""A function that decodes values; the result of a value that cannot be decoded is None."""

_STATEMENT = """
    select array(select convert_from(value, getdatabaseencoding())
                 from unnest(%s::bytea[]) with ordinality as listed(value, number) order by number)
"""


def utf8(values: Sequence[bytes]) -> list[str | None]:
    """Decode values that should be UTF-8 but may not be: a database with encoding SQL_ASCII stores any bytes."""
    return [_utf8(value) for value in values]


def decoder_of(transaction: Callable[[], AbstractContextManager[psycopg.Connection]]) -> Decoder:
    """A decoder of text in a database's own encoding.

    Args:
        transaction: begins a new transaction on that database; the decoder lets it fail when a value cannot be decoded.
    """

    def decode(values: Sequence[bytes]) -> list[str | None]:
        if not values:
            return []
        try:
            with transaction() as connection:
                ((texts,),) = connection.execute(_STATEMENT, [list(values)], binary=True).fetchall()
        except DatabaseError as error:
            if error.facts.get("sqlstate") not in {UntranslatableCharacter.sqlstate, CharacterNotInRepertoire.sqlstate}:
                raise
            if len(values) == 1:
                return [None]
            half = len(values) // 2
            return decode(values[:half]) + decode(values[half:])
        return list(texts)

    return decode


def _utf8(value: bytes) -> str | None:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None
