"""The source's catalogue as it is kept in the lake: its tables and columns, one object per version of the catalogue.

Whether a catalogue breaks the contract is decided in `ingest/contract.py`.
"""

import hashlib
from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict

from totes_dagster.errors import PartMissingError
from totes_dagster.lake.zone import Zone


class SourceColumn(BaseModel):
    """A column of the source.

    `type` and `full_type` are written as PostgreSQL's `format_type` writes them, without and with the length or
    precision. `labels` are those of an enum, in order.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    type: str
    full_type: str
    nullable: bool
    labels: tuple[str, ...] = ()


class SourceTable(BaseModel):
    """A table of the source.

    Attributes:
        columns: the columns, in order.
        key: names of the columns of the primary key; empty if there is none.
        namespace: the schema that it is in.
        kind: kind of relation: `table`, `partitioned table`, `view` …
        inherited: whether other tables inherit from it. Their rows are also rows of this table, and its primary key
            does not apply to them.
        definition: digest of everything, except for the rows themselves, that determines what a query returns.
        obstacle: why the platform cannot read the table, or not all of its rows; empty if it can.
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
        """Digest of what determines how the table's rows look to a query; constraints are not part of it."""
        columns = [(column.name, column.full_type, column.labels) for column in self.columns]
        return hashlib.sha256(repr((columns, self.definition)).encode()).hexdigest()[:16]

    def column(self, name: str) -> SourceColumn | None:
        """The column of this name; None if there is none."""
        return next((column for column in self.columns if column.name == name), None)


class Catalogue(BaseModel):
    """The tables in the schemas of the declared tables, both declared and undeclared."""

    model_config = ConfigDict(frozen=True)

    tables: Mapping[str, SourceTable]

    def to_json(self) -> bytes:
        """The object's bytes."""
        return self.model_dump_json(indent=1).encode()

    @property
    def digest(self) -> str:
        """Digest that names the object, so that equal catalogues are one object."""
        return hashlib.sha256(self.to_json()).hexdigest()[:16]


def contract_path(digest: str) -> str:
    """Path of a catalogue in the ingestion zone."""
    return f"contracts/{digest}.json"


def read_catalogue(lake: Zone, digest: str) -> Catalogue:
    """The catalogue of this digest.

    Raises:
        PartMissingError: the ingestion zone does not have it.
    """
    data = lake.read(contract_path(digest))
    if data is None:
        raise PartMissingError(f"{contract_path(digest)} is missing from {lake.url}.")
    return Catalogue.model_validate_json(data.to_pybytes())


def register(lake: Zone, catalogue: Catalogue) -> str:
    """Store a catalogue in the ingestion zone unless it is already there; return its digest."""
    path = contract_path(catalogue.digest)
    if not lake.exists(path):
        lake.create(path, catalogue.to_json())
    return catalogue.digest
