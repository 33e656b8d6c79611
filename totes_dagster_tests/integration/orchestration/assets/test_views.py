"""What Dagster shows of the views is what a migrated warehouse has: the tables that they read, and types of columns."""

from collections.abc import Iterator

import psycopg
import pytest

from totes_dagster.config.platform import Warehouse
from totes_dagster.local.server import EmbeddedPostgres
from totes_dagster.orchestration.assets.views import READS, view_assets
from totes_dagster.postgres.database import Database
from totes_dagster.schema.registry import FEED_FACTS, STAR_TABLES
from totes_dagster.schema.views import VIEWS
from totes_dagster.warehouse.migrations import migrate
from totes_dagster_tests.companies import databases

SPECS = {spec.key.path[-1]: spec for spec in view_assets}

COLUMNS = """
    select attname, format_type(atttypid, atttypmod) from pg_attribute
    where attrelid = %s::regclass and attnum > 0 and not attisdropped order by attnum
"""

READ = """
    with recursive read as (
        select refobjid::regclass::text as name
        from pg_rewrite join pg_depend on classid = 'pg_rewrite'::regclass and objid = pg_rewrite.oid
        where ev_class = %(view)s::regclass and refclassid = 'pg_class'::regclass and refobjid <> ev_class
        union
        select refobjid::regclass::text
        from read join pg_rewrite on ev_class = name::regclass
        join pg_depend on classid = 'pg_rewrite'::regclass and objid = pg_rewrite.oid
        where name like 'current%%' and refclassid = 'pg_class'::regclass and refobjid <> ev_class
    )
    select array_agg(name) from read where name not like 'current%%' and name <> 'load_history'
"""


@pytest.fixture(scope="module")
def warehouse(postgres: EmbeddedPostgres) -> Iterator[str]:
    with databases(postgres) as create:
        url = create("warehouse")
        migrate(Warehouse(Database("warehouse", url)))
        yield url


@pytest.mark.parametrize("name", [*VIEWS, "rate_on_day"])
def test_the_columns_have_the_types_of_the_warehouse(name: str, warehouse: str) -> None:
    with psycopg.connect(warehouse) as connection:
        columns = connection.execute(COLUMNS, [name]).fetchall()
    shown = SPECS[name].metadata["dagster/column_schema"].columns
    assert [(column.name, column.type) for column in shown] == columns


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_depends_on_what_it_reads(view: str, warehouse: str) -> None:
    with psycopg.connect(warehouse) as connection:
        ((read,),) = connection.execute(READ, {"view": view}).fetchall()
    assert set(READS[view]) == set(read or ())


@pytest.mark.parametrize("view", VIEWS)
def test_an_asset_depends_on_tables_only_also_by_way_of_others(view: str) -> None:
    shown = {dep.asset_key.path[-1] for dep in SPECS[view].deps}
    assert {name for name in READS[view] if name not in SPECS} <= shown
    for name in READS[view]:
        if name in SPECS:
            assert {dep.asset_key.path[-1] for dep in SPECS[name].deps} <= shown
    assert shown <= STAR_TABLES.keys() | FEED_FACTS.keys()
