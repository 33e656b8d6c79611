"""The steps of a load that make sure of what its rows refer to: members, days, and numbers of their own."""

import logging
from datetime import date

import numpy as np
import pyarrow as pa
from psycopg import sql
from psycopg.errors import InsufficientPrivilege, LockNotAvailable
from sqlalchemy import Table

from totes_dagster.postgres.database import NamedConnection
from totes_dagster.schema.registry import CALENDAR
from totes_dagster.schema.star import UNKNOWN, natural_key_of, placeholder_columns, record_id_of
from totes_dagster.warehouse.queries import named_days_statement
from totes_dagster.warehouse.staging import StagingTransaction, names_of, staging_of

logger = logging.getLogger(__name__)


class ReferringTransaction(StagingTransaction):
    """A transaction that adds what rows refer to."""

    def __init__(self, connection: NamedConnection, schema: str) -> None:
        super().__init__(connection, schema)
        self._in_sequence: set[str] = set()

    def put_sequence_past_record_ids(self, fact: Table) -> None:
        """Make sure that the next record id is higher than all existing ones.

        Replication, or a restore table by table, moves a warehouse's rows but not the state of its sequences. Once is
        enough in a transaction.
        """
        if fact.name in self._in_sequence:
            return
        self._in_sequence.add(fact.name)
        record_id = record_id_of(fact)
        (highest,) = self.fetch(sql.SQL("select max({}) from {}").format(sql.Identifier(record_id), self.name_of(fact)))
        if highest is None:
            return
        sequence = self._sequence_of(fact)
        (moved,) = self.fetch(
            sql.SQL(
                """
                select count(setval({name}::regclass, {highest})) from {sequence}
                where last_value < {highest} or last_value = {highest} and not is_called
                """
            ).format(name=sql.Literal(sequence.as_string(None)), sequence=sequence, highest=sql.Literal(highest))
        )
        if moved:
            logger.warning("The sequence of %s.%s was behind its rows; moved it to %d.", fact.name, record_id, highest)

    def with_record_ids(self, fact: Table, rows: pa.Table) -> pa.Table:
        """Rows of a fact with the next record ids, if these can be taken all at once; see `take_record_ids`."""
        first = self.take_record_ids(fact, rows.num_rows)
        if first is None:
            return rows
        ids = pa.array(np.arange(first, first + rows.num_rows, dtype=np.int64))
        return rows.append_column(pa.field(record_id_of(fact), pa.int64(), nullable=False), ids)

    def take_record_ids(self, fact: Table, count: int) -> int | None:
        """The first of the next record ids of a fact, as many as given, if these can be taken all at once.

        Otherwise the server takes them one by one, as it stores the rows, for a fifth of the time that these take.
        Until the commit, others who add rows to the fact wait, so none of them takes the same.
        """
        if not count:
            return None
        sequence = self._sequence_of(fact)
        try:
            with self.savepoint():
                self.execute(sql.SQL("lock table {} in share row exclusive mode nowait").format(self.name_of(fact)))
                taken = self.fetch_all(
                    sql.SQL(
                        """
                        select setval(seqrelid::regclass, nextval(seqrelid::regclass) + {rows} - 1) - {rows} + 1
                        from pg_sequence where seqrelid = {name}::regclass and seqincrement = 1 and not seqcycle
                        """
                    ).format(name=sql.Literal(sequence.as_string(None)), rows=sql.Literal(count))
                )
        except (LockNotAvailable, InsufficientPrivilege):
            return None
        return int(taken[0][0]) if taken else None

    def _sequence_of(self, fact: Table) -> sql.Identifier:
        """The sequence that a fact's record ids come from."""
        schema, name = self.fetch(
            sql.SQL(
                """
                select nspname::text, relname::text from pg_class join pg_namespace on pg_namespace.oid = relnamespace
                where pg_class.oid = pg_get_serial_sequence({}, {})::regclass
                """
            ).format(sql.Literal(self.name_of(fact).as_string(None)), sql.Literal(record_id_of(fact)))
        )
        return sql.Identifier(schema, name)

    def add_placeholders(self, fact: Table, *, staged: bool = True) -> dict[str, int]:
        """Add a placeholder for every reference to a member that does not exist; return how many, by dimension.

        Args:
            fact: the fact with the references.
            staged: whether to look at its staged rows, or else at all its rows.
        """
        rows = sql.SQL("{} as referring").format(staging_of(fact) if staged else self.name_of(fact))
        references = [key for key in fact.foreign_keys if key.column.table is not CALENDAR]
        missing = [
            sql.SQL("from {} where not exists (select from {} as member where member.{} = {})").format(
                rows,
                self.name_of(key.column.table),
                sql.Identifier(key.column.name),
                sql.Identifier("referring", key.parent.name),
            )
            for key in references
        ]
        # One statement, for mostly none is missing.
        are_missing = self.fetch(
            sql.SQL("select {}").format(
                sql.SQL(", ").join(sql.SQL("exists (select {})").format(each) for each in missing)
            )
        )
        added: dict[str, int] = {}
        for key, those, is_missing in zip(references, missing, are_missing, strict=True):
            if is_missing:
                dimension = key.column.table
                required = placeholder_columns(dimension)
                added[dimension.name] = added.get(dimension.name, 0) + self.execute(
                    sql.SQL("insert into {} ({}, {}) select distinct {}, {} {}").format(
                        self.name_of(dimension),
                        sql.Identifier(key.column.name),
                        names_of(required),
                        sql.Identifier("referring", key.parent.name),
                        sql.SQL(", ").join([sql.Literal(UNKNOWN)] * len(required)),
                        those,
                    )
                )
        return added

    def calendar_extent(self) -> tuple[date | None, date | None, int]:
        """The first and last day of the calendar, None if it is empty, and its number of days."""
        first, last, count = self.fetch(
            sql.SQL("select min({0}), max({0}), count(*) from {1}").format(
                sql.Identifier(natural_key_of(CALENDAR)), self.name_of(CALENDAR)
            )
        )
        return first, last, count

    def named_days(self) -> list[date]:
        """The earliest and latest day that the calendar or a fact names; empty if there are no rows."""
        statement: sql.Composed = named_days_statement(self.schema)
        return [day for day in self.fetch(statement) if day is not None]
