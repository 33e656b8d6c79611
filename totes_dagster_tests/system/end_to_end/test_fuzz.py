"""Whatever a source holds: each of its rows is shown exactly, or set aside with a reason; and no refresh ever fails."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from psycopg import sql

from totes_dagster.config.platform import Platform
from totes_dagster.schema.totesys import SOURCE_TABLES
from totes_dagster.simulator.seeding import seed
from totes_dagster_tests.system.end_to_end.oddities import mend, odd_values, set_free
from totes_dagster_tests.system.end_to_end.witness import Witness
from totes_dagster_tests.system.platforms import lake_in, platform_at
from totes_dagster_tests.world import World

_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)


@dataclass(frozen=True)
class Edit:
    """Something that happens to a row of a table: the one at `place`, counted round and round."""

    table: str
    place: int
    what: str
    column: str
    value: str | None

    def perform(self, connection: psycopg.Connection) -> None:
        """Let it happen, unless a constraint forbids it."""
        names = [column.name for column in SOURCE_TABLES[self.table].columns]
        others = [name for name in names if name != f"{self.table}_id"]
        statement = sql.SQL(_STATEMENTS[self.what]).format(
            table=sql.Identifier(self.table),
            kept=sql.Identifier("attic", self.table),
            key=sql.Identifier(f"{self.table}_id"),
            others=sql.SQL(", ").join(map(sql.Identifier, others)),
            kept_others=sql.SQL(", ").join(sql.Identifier("kept", name) for name in others),
            column=sql.Identifier(self.column),
            value=sql.Literal(self.value),
            place=sql.Literal(self.place),
        )
        with suppress(psycopg.IntegrityError), connection.transaction():
            connection.execute(statement)


_ROW = "(select ctid from {table} order by ctid offset {place} % (select count(*) + 1 from {table}) limit 1)"
_STATEMENTS = {
    "change": f"update {{table}} set {{column}} = {{value}} where ctid = {_ROW}",
    "mend": f"update {{table}} as odd set ({{others}}) = row({{kept_others}}) from {{kept}} as kept "
    f"where kept.{{key}} = odd.{{key}} and odd.ctid = {_ROW}",
    "insert": "insert into {table} ({key}, {others}) "
    f"select 10000 + {{place}}, {{others}} from {{table}} where ctid = {_ROW}",
    "copy": f"insert into {{table}} select * from {{table}} where ctid = {_ROW}",
    "delete": f"delete from {{table}} where ctid = {_ROW}",
}


@st.composite
def edits(draw: st.DrawFn) -> Edit:
    table = draw(st.sampled_from(list(SOURCE_TABLES)))
    column = draw(st.sampled_from(list(SOURCE_TABLES[table].columns)))
    what = draw(st.sampled_from(["change", "change", "change", *_STATEMENTS]))
    values = odd_values(column)
    any_value = st.sampled_from(values) | _TEXT if "李" in values else st.sampled_from(values)
    return Edit(table, draw(st.integers(0, 200)), what, column.name, draw(any_value))


Company = Callable[..., Witness]


@pytest.fixture
def free_company(platform: Platform, database: Callable[..., str], tmp_path: Path) -> Company:
    """A function that makes a company of so many orders, whose source keeps no constraint."""
    numbers = count(1)

    def make(orders: int, *, keyed: bool) -> Witness:
        folder = tmp_path / str(next(numbers))
        made = platform_at(database("totesys"), database("warehouse"), lake_in(folder))
        seed(made.source.url, orders=orders)
        set_free(made.source.url, keyed=keyed)
        return Witness(World(made))

    return make


def test_every_odd_value_in_every_column_is_shown_exactly_or_its_row_set_aside(free_company: Company) -> None:
    witness = free_company(20, keyed=False)
    witness.refresh()
    rows = 0
    with psycopg.connect(witness.world.source_url) as connection:
        for name, table in SOURCE_TABLES.items():
            others = [column.name for column in table.columns if column.name != f"{name}_id"]
            first = sql.SQL("select * from {} where {} = 1").format(sql.Identifier(name), sql.Identifier(f"{name}_id"))
            for column in table.columns:
                for value in odd_values(column):
                    rows += 1
                    chosen = sql.SQL(", ").join(
                        sql.Literal(value) if other == column.name else sql.Identifier(other) for other in others
                    )
                    key = value if column.primary_key else str(10_000 + rows)
                    connection.execute(
                        sql.SQL("insert into {} ({}, {}) select {}, {} from ({}) as first").format(
                            sql.Identifier(name),
                            sql.Identifier(f"{name}_id"),
                            sql.SQL(", ").join(map(sql.Identifier, others)),
                            sql.Literal(key),
                            chosen,
                            first,
                        )
                    )
        connection.execute("update design set design_name = repeat('1 MB of ünïcode ', 65536) where design_id = 1")
    witness.refresh()
    assert rows > 1_000
    assert 100 < len(witness.listed()) < rows
    mend(witness.world.source_url)
    witness.refresh()
    assert witness.listed() == {}


@settings(
    max_examples=3,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(keyed=st.booleans(), steps=st.lists(st.lists(edits(), min_size=15, max_size=40), min_size=3, max_size=3))
def test_whatever_happens_to_the_rows_of_a_source_they_are_shown_exactly_or_set_aside(
    free_company: Company, keyed: bool, steps: list[list[Edit]]
) -> None:
    witness = free_company(20, keyed=keyed)
    witness.refresh()
    for step in steps:
        with psycopg.connect(witness.world.source_url) as connection:
            for edit in step:
                edit.perform(connection)
        witness.refresh()
    assert witness.listed()
    mend(witness.world.source_url)
    witness.refresh()
    assert witness.listed() == {}
