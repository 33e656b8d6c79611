"""Text in a server's own encoding, turned into Unicode by the server itself, value by value.

A client that asks for UTF-8 gets an error instead of rows as soon as one value has a byte without an equivalent there.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import psycopg
from psycopg.errors import CharacterNotInRepertoire, UntranslatableCharacter

from totes_dagster.errors import DatabaseError

Decoder = Callable[[Sequence[bytes]], list[str | None]]
"""Decodes values; None stands for one that cannot be decoded."""

_STATEMENT = """
    select array(select convert_from(value, getdatabaseencoding())
                 from unnest(%s::bytea[]) with ordinality as listed(value, number) order by number)
"""


def utf8(values: Sequence[bytes]) -> list[str | None]:
    """Decode values that should be UTF-8, as in a database of encoding SQL_ASCII, which holds any bytes."""
    return [_utf8(value) for value in values]


def decoder_of(transaction: Callable[[], AbstractContextManager[psycopg.Connection]]) -> Decoder:
    """A decoder of text in a database's own encoding.

    Args:
        transaction: begins a transaction on that database, which may fail without harm.
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
