"""The source's catalogue, as it is kept in the lake: which tables and columns there were, one object per version seen.

What of it breaks the contract is decided in `ingest/contract.py`.
"""

import hashlib
from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict

from totes_dagster.lake.zone import Zone


class SourceColumn(BaseModel):
    """A column of the source.

    `type` is written as PostgreSQL's `format_type` writes it, without the length or precision in `full_type`. `labels`
    are those of an enum, in order.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    type: str
    full_type: str
    nullable: bool
    labels: tuple[str, ...] = ()


class SourceTable(BaseModel):
    """A table of the source: its columns in order, and those of its primary key.

    Attributes:
        namespace: the schema that it is in.
        kind: what it is to PostgreSQL: `table`, `partitioned table`, `view` …
        inherited: whether its rows include those of tables that inherit from it, for which the key does not hold.
        definition: digest of all that decides, besides its rows, what a query of the table returns.
        obstacle: why the platform cannot read it, or not all of its rows; empty where it can.
    """

    model_config = ConfigDict(frozen=True)

    columns: tuple[SourceColumn, ...]
    key: tuple[str, ...] = ()
    inherited: bool = False
    namespace: str = "public"
    kind: str = "table"
    definition: str = ""
    obstacle: str = ""

    @property
    def digest(self) -> str:
        """Tells this table from one of which the same rows look otherwise; not from one with other constraints."""
        columns = [(column.name, column.full_type, column.labels) for column in self.columns]
        return hashlib.sha256(repr((columns, self.definition)).encode()).hexdigest()[:16]

    def column(self, name: str) -> SourceColumn | None:
        """A column by its name, if there is one."""
        return next((column for column in self.columns if column.name == name), None)


class Catalogue(BaseModel):
    """All tables beside which the declared ones lie, declared or not."""

    model_config = ConfigDict(frozen=True)

    tables: Mapping[str, SourceTable]

    def to_json(self) -> bytes:
        """The object's bytes."""
        return self.model_dump_json(indent=1).encode()

    @property
    def digest(self) -> str:
        """The object's name: equal catalogues are one object."""
        return hashlib.sha256(self.to_json()).hexdigest()[:16]


def contract_path(digest: str) -> str:
    """Where a catalogue lies in the ingestion zone."""
    return f"contracts/{digest}.json"


def register(lake: Zone, catalogue: Catalogue) -> str:
    """Keep a catalogue in the ingestion zone unless it is there already; return its digest."""
    path = contract_path(catalogue.digest)
    if not lake.exists(path):
        lake.create(path, catalogue.to_json())
    return catalogue.digest
