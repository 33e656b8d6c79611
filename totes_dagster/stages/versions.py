"""Whether the facts hold the versions that batches brought, no more and no fewer."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import psycopg
from psycopg import sql
from sqlalchemy import Table

from totes_dagster.schema.warehouse import load_history, natural_key_of, record_id_of, remodelled_columns

_LINES = 20


@dataclass(frozen=True)
class BatchVersions:
    """A batch's versions of a fact.

    Attributes:
        found: how many there are.
        brought: how many `load_history` says that the batch brought; None where it does not know the batch.
        late: whether some are newer than versions of later batches, of a batch that has no later ones: rows that were
            adopted (batch 0) are older than all others.
    """

    batch: int
    found: int
    brought: int | None
    late: bool


def repeated_versions(warehouse: psycopg.Connection, schema: str, fact: Table) -> tuple[set[int], list[str]]:
    """Look for versions that no load wrote, and for such as one wrote and are gone.

    Cheap where the numbers of versions per batch are right. One that is lost makes up for one that is doubled in the
    same batch; that is not noticed.

    Returns:
        The keys with a version that repeats the one before it, and sentences about all other wrong numbers. Rows that
        were adopted with the warehouse may be anything.
    """
    wrong = _wrong_numbers(warehouse, schema, fact)
    suspicious = [numbers.batch for numbers in wrong if numbers.late or numbers.found > (numbers.brought or 0)]
    repeats = _repeats(warehouse, schema, fact, suspicious) if suspicious else []
    return {key for key, _ in repeats}, told(fact.name, wrong, Counter(batch for _, batch in repeats))


def told(fact: str, wrong: Iterable[BatchVersions], repeated: Counter[int]) -> list[str]:
    """Sentences about batches whose numbers of versions are wrong, also without the versions that are repeated."""
    lines = []
    for numbers in wrong:
        found = numbers.found - (repeated[numbers.batch] if numbers.found > (numbers.brought or 0) else 0)
        if numbers.late or found == (numbers.brought or 0):
            continue
        if numbers.brought is None:
            lines.append(
                f"batch {numbers.batch} was never loaded, but versions of {fact} are said to be of it: {found}"
            )
        else:
            lines.append(f"batch {numbers.batch} brought {numbers.brought} versions of {fact}, but {found} are there")
    if len(lines) > _LINES:
        lines[_LINES:] = [f"{len(lines) - _LINES} further batches of {fact} are no better"]
    return lines


def _wrong_numbers(warehouse: psycopg.Connection, schema: str, fact: Table) -> list[BatchVersions]:
    statement = sql.SQL(
        """
        with present as (
            select batch, count(*) as found, min({record_id}) as oldest, max({record_id}) as newest
            from {fact} group by batch),
        loaded as (
            select batch, coalesce((counts ->> 'new')::bigint, 0) + coalesce((counts ->> 'changed')::bigint, 0)
                   + coalesce((counts ->> 'deleted')::bigint, 0) as brought
            from (select batch, tables -> {name} as counts from {history}) as history)
        select batch, coalesce(found, 0), brought, batch = 0
        from present full join loaded using (batch)
        where case batch when 0 then newest > (select min(oldest) from present where batch <> 0)
                         else coalesce(found, 0) <> coalesce(brought, 0) end
        order by batch
        """
    ).format(
        record_id=sql.Identifier(record_id_of(fact)),
        fact=sql.Identifier(schema, fact.name),
        name=sql.Literal(fact.name),
        history=sql.Identifier(schema, load_history.name),
    )
    return [BatchVersions(*row) for row in warehouse.execute(statement)]


def _repeats(warehouse: psycopg.Connection, schema: str, fact: Table, batches: list[int]) -> list[tuple[int, int]]:
    """Key and batch of every version that repeats the one before it, of keys with versions of these batches."""
    statement = sql.SQL(
        """
        select key, batch
        from (select {key} as key, batch, row({values}, is_deleted) as version,
                     lag(row({values}, is_deleted)) over versions as version_before,
                     lag(batch) over versions as batch_before
              from {fact} where {key} in (select {key} from {fact} where batch = any ({batches}::bigint[]))
              window versions as (partition by {key} order by {record_id})) as versions
        where version = version_before and (batch <> 0 or batch_before <> 0)
        """
    ).format(
        key=sql.Identifier(natural_key_of(fact)),
        values=sql.SQL(", ").join(sql.Identifier(column.name) for column in remodelled_columns(fact)),
        fact=sql.Identifier(schema, fact.name),
        batches=sql.Literal(batches),
        record_id=sql.Identifier(record_id_of(fact)),
    )
    return [(key, batch) for key, batch in warehouse.execute(statement)]
