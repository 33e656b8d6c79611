"""What a server's log tells of the statements that were run there, and whether they could have written."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

PREFIX = "@@ %p %v %u@%d @@ "
"""A setting of the server's: process, transaction, user and database. Also one that only reads has a number."""

_ENTRY = re.compile(r"@@ (\d+) (\S+) (\S*) @@ LOG:  (?:statement|execute [^:]+): (.*)", re.DOTALL)
_READ_ONLY = re.compile(r"(begin|start transaction|set transaction)\b.*\bread only", re.IGNORECASE)
_SESSION_READ_ONLY = re.compile(r"set session characteristics as transaction\b.*\bread only", re.IGNORECASE)
_HARMLESS = re.compile(r"(begin( transaction)?|set transaction .*|set session .*|commit.*|rollback.*|)$", re.IGNORECASE)


@dataclass(frozen=True)
class Logged:
    """A statement that was run."""

    process: str
    transaction: str
    text: str


def logged(log: Path, since: int, user: str, database: str) -> list[Logged]:
    """The statements of a user on a database that a log gained since it had so many bytes."""
    with log.open("rb") as file:
        file.seek(since)
        entries = re.split(r"\n(?=@@ )", file.read().decode())
    matches = filter(None, map(_ENTRY.match, entries))
    return [Logged(match[1], match[2], match[4].strip()) for match in matches if match[3] == f"{user}@{database}"]


def could_have_written(statements: list[Logged]) -> Iterator[str]:
    """The statements that were not run in a read-only transaction."""
    for _, session in groupby(sorted(statements, key=lambda each: each.process), key=lambda each: each.process):
        always = False
        for _, transaction in groupby(session, key=lambda each: each.transaction):
            read_only = always
            for statement in transaction:
                always = always or bool(_SESSION_READ_ONLY.match(statement.text))
                read_only = read_only or bool(_READ_ONLY.match(statement.text))
                if not read_only and not _HARMLESS.match(statement.text):
                    yield statement.text
