"""The views of metrics are as declared and described, in every warehouse, and replace nobody's own."""

import psycopg
import pytest
from alembic import command
from alembic.config import Config
from psycopg import sql
from sqlalchemy import create_engine
from sqlalchemy.pool import StaticPool

from totes_dagster.config.platform import Warehouse
from totes_dagster.errors import WarehouseSchemaError
from totes_dagster.metrics.asking import ask
from totes_dagster.metrics.registry import METRICS
from totes_dagster.postgres.database import Database
from totes_dagster.schema.views import VIEWS
from totes_dagster.warehouse import migrations
from totes_dagster.warehouse.migrations import migrate
from totes_dagster.warehouse.migrations.adoption import describe
from totes_dagster.warehouse.migrations.current_views import replace_current_view
from totes_dagster.warehouse.migrations.views import recreated_views
from totes_dagster_tests.integration.warehouse.migrations.catalogue import catalogue, run
from totes_dagster_tests.predefined import PREDEFINED

DESCRIPTIONS = """
    select relname, obj_description(pg_class.oid, 'pg_class'),
           array_agg(array[attname::text, col_description(attrelid, attnum)] order by attnum)
    from pg_class join pg_attribute on attrelid = pg_class.oid
    where relkind = 'v' and attnum > 0 and relnamespace = %s::regnamespace and relname = any(%s) group by 1, 2
"""

DECLARED = {
    view.name: (view.comment, [[name, description] for name, description in view.columns.items()])
    for view in VIEWS.values()
}

UNUSUAL = 'It\'s "unusual", 100% {so} to speak'


def described(database: Database, schema: str = "public") -> dict[str, tuple[str, list[list[str]]]]:
    """The views, with their comment, and their columns with theirs."""
    with psycopg.connect(database.url) as connection:
        rows = connection.execute(DESCRIPTIONS, [sql.Identifier(schema).as_string(None), list(VIEWS)]).fetchall()
    return {name: (comment, columns) for name, comment, columns in rows}


def answers(database: Database, schema: str = "public") -> list[object]:
    """What every metric answers, which all views are read for."""
    with database.connect() as connection:
        return [
            ask(connection, schema, metric, by=["month"], where={"currency": "USD"} if "own" in metric else {}).rows
            for metric in METRICS
        ]


@pytest.mark.parametrize("schema", ["public", UNUSUAL])
def test_the_views_are_as_declared_and_described(empty: Database, schema: str) -> None:
    migrate(Warehouse(empty, schema))
    assert described(empty, schema) == DECLARED
    assert len(answers(empty, schema)) == len(METRICS)


@pytest.mark.parametrize("view", VIEWS)
def test_descriptions_are_sentences(view: str) -> None:
    for description in (VIEWS[view].comment, *VIEWS[view].columns.values()):
        assert description.endswith("."), description


def test_a_warehouse_of_an_earlier_time_gets_the_views(earlier: Database) -> None:
    assert migrate(Warehouse(earlier)) == "0002"
    assert described(earlier) == DECLARED
    with psycopg.connect(earlier.url) as connection:
        assert connection.execute("select units_sold, amount_gbp is null from sale").fetchall() == [(12, False)]


def test_an_adopted_warehouse_gets_the_views(empty: Database) -> None:
    # Its columns have another order and another type of text.
    run(
        empty,
        PREDEFINED,
        "alter table dim_currency drop currency_code, add currency_code varchar(3) not null default 'GBP'",
        "alter table dim_transaction alter transaction_type type text",
    )
    migrate(Warehouse(empty))
    assert described(empty) == DECLARED
    assert len(answers(empty)) == len(METRICS)


@pytest.mark.parametrize("name", VIEWS)
def test_a_name_that_is_in_use_is_refused_and_nothing_is_changed(earlier: Database, name: str) -> None:
    run(earlier, f"create view {name} as select 1 as ours")
    before = catalogue(earlier)
    with pytest.raises(WarehouseSchemaError, match=f"has a {name} that is not the platform's. Rename it"):
        migrate(Warehouse(earlier))
    assert catalogue(earlier) == before


def test_what_the_owner_said_about_a_view_is_kept(earlier: Database) -> None:
    migrate(Warehouse(earlier))
    run(earlier, "comment on view sale is 'Ours'", "comment on column sale.amount is 'Ours, too'")
    with psycopg.connect(earlier.url) as connection:
        describe(connection)
    comment, columns = described(earlier)["sale"]
    assert (comment, ["amount", "Ours, too"] in columns) == ("Ours", True)


def test_the_migration_can_be_undone_and_done_again(empty: Database) -> None:
    migrate(Warehouse(empty))
    before = described(empty)
    config = Config()
    config.set_main_option("script_location", migrations.__path__[0])
    with psycopg.connect(empty.url) as connection:
        engine = create_engine("postgresql+psycopg://", creator=lambda: connection, poolclass=StaticPool)
        with engine.connect() as bound:
            config.attributes["connection"] = bound
            command.downgrade(config, "0006")
            bound.commit()
    assert described(empty) == {}
    assert migrate(Warehouse(empty)) == "0006"
    assert described(empty) == before


def test_the_views_survive_changes_of_what_they_read(earlier: Database) -> None:
    migrate(Warehouse(earlier))
    before, numbers = described(earlier), answers(earlier)
    run(earlier, "alter table fact_sales_order add memo varchar")
    with psycopg.connect(earlier.url) as connection:
        replace_current_view(connection, "fact_sales_order")
        with recreated_views(connection, [("dim_currency", "currency_code"), ("fact_sales_order", "units_sold")]):
            connection.execute("alter table dim_currency alter currency_code type text")
            connection.execute("alter table fact_sales_order alter units_sold type bigint")
    assert described(earlier) == before
    assert answers(earlier) == numbers
