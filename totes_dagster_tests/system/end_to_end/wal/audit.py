"""A source that records every change of its facts' rows itself, by triggers: what its history must be like."""

from collections import defaultdict
from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter

import psycopg
from psycopg import sql

from totes_dagster_tests.system.end_to_end.judge import Version, star_row
from totes_dagster_tests.system.end_to_end.rules import FACTS, Row

_RECORD = """
    create schema if not exists audit;
    create table audit.{table} (number bigserial, transaction xid8 default pg_current_xact_id(), is_deleted boolean,
                                row public.{table});
    insert into audit.{table} (is_deleted, row) select false, t from public.{table} as t;
    create function audit.record_{table}() returns trigger language plpgsql as $$
    begin
        if tg_op = 'INSERT' then
            insert into audit.{table} (is_deleted, row) values (false, new);
        else
            if tg_op = 'DELETE' or old.{key} <> new.{key} then
                insert into audit.{table} (is_deleted, row) values (true, old);
            end if;
            if tg_op = 'UPDATE' then
                insert into audit.{table} (is_deleted, row) values (false, new);
            end if;
        end if;
        return null;
    end $$;
    create trigger audit after insert or update or delete on public.{table}
        for each row execute function audit.record_{table}();
"""


def record_changes(url: str) -> None:
    """Begin to record: what there is, and what changes."""
    with psycopg.connect(url) as connection:
        for table in FACTS:
            connection.execute(_RECORD.format(table=table, key=f"{table}_id"))


def recorded(url: str, table: str) -> dict[str, list[Version]]:
    """The versions that the fact of a source table must have, by key: one for each transaction that changed a row."""
    names = sorted({name for name, _ in FACTS[table].values()})
    values = sql.SQL(", ").join(sql.SQL("(row).{}::text").format(sql.Identifier(name)) for name in names)
    query = sql.SQL("select transaction::text, is_deleted, {} from audit.{} order by number")
    with psycopg.connect(url) as connection:
        changes = [
            (transaction, is_deleted, dict(zip(names, row, strict=True)))
            for transaction, is_deleted, *row in connection.execute(query.format(values, sql.Identifier(table)))
        ]
    by_key = defaultdict(list)
    for transaction, is_deleted, row in changes:
        by_key[row[f"{table}_id"]].append((transaction, is_deleted, row))
    return {key: list(_versions(table, of_key)) for key, of_key in by_key.items()}


def _versions(table: str, changes: list[tuple[str, bool, Row]]) -> Iterator[Version]:
    """The versions of a row: what each transaction left of it, where that differs in the columns of the fact."""
    before: Version | None = None
    for _, of_transaction in groupby(changes, key=itemgetter(0)):
        *_, (_, is_deleted, row) = of_transaction
        made = star_row(FACTS[table], row)
        assert made is not None, row
        if is_deleted:
            if before is None or before[1]:
                continue
            made = before[0]
        if before != (made, is_deleted):
            before = made, is_deleted
            yield before
