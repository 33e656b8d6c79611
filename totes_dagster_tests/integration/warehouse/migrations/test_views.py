"""Views on the warehouse survive a migration that changes the type of a column they read, or are named before it."""

from collections.abc import Iterator

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from totes_dagster.config.platform import Warehouse
from totes_dagster.errors import DiskFullError, WarehouseSchemaError
from totes_dagster.postgres.database import Database
from totes_dagster.schema.registry import DIMENSIONS
from totes_dagster.schema.views import VIEWS
from totes_dagster.warehouse.migrations import HEAD, migrate
from totes_dagster.warehouse.migrations.current_views import replace_current_view
from totes_dagster_tests.integration.warehouse.migrations.catalogue import catalogue, run
from totes_dagster_tests.predefined import PREDEFINED

REPORTS = """
    create schema "Reports";
    create view "Reports".totals with (security_barrier) as
        select sales_order_id, units_sold * unit_price as "to pay (100%)" from current_sales_order
        where units_sold::text like '%2' or sales_record_id > 3;
    comment on view "Reports".totals is 'What''s owed';
    comment on column "Reports".totals."to pay (100%)" is 'In pounds';
    create view "Reports".newest (order_number, number) as
        select sales_order_id, max(sales_record_id) from fact_sales_order group by sales_order_id;
    create materialized view "Reports".summary with (fillfactor = 70) as
        select order_number, number, "to pay (100%)" from "Reports".totals join "Reports".newest
        on order_number = sales_order_id;
    create unique index "by number" on "Reports".summary (number);
    comment on index "Reports"."by number" is 'for the dashboard';
    comment on materialized view "Reports".summary is 'Nightly';
    alter materialized view "Reports".summary cluster on "by number";
    create materialized view "Reports".later as select * from "Reports".summary with no data;
    create view unrelated as select staff_id from dim_staff;
    grant usage on schema "Reports" to analyst, team;
    grant select on current_sales_order to team;
    alter view "Reports".totals owner to team;
    grant select on "Reports".totals to analyst with grant option;
    grant select (order_number) on "Reports".newest to public;
    revoke delete on "Reports".newest from postgres;
    alter default privileges in schema "Reports" grant select on tables to analyst;
"""

STATE = """
    select relname, relkind::text, relnamespace::regnamespace::text, pg_get_userbyid(relowner), reloptions,
           relispopulated, pg_get_viewdef(oid), obj_description(oid, 'pg_class'),
           (select array_agg(col_description(attrelid, attnum) order by attnum) from pg_attribute
            where attrelid = pg_class.oid and attnum > 0),
           (select array_agg((pg_get_userbyid(grantee), privilege_type, is_grantable)::text order by 1)
            from (select * from aclexplode(coalesce(relacl, acldefault('r', relowner)))
                  order by grantee, privilege_type) as rights),
           (select array_agg(attname || attacl::text order by attnum) from pg_attribute
            where attrelid = pg_class.oid and attacl is not null),
           (select array_agg(pg_get_indexdef(indexrelid) || indisclustered ||
                             coalesce(obj_description(indexrelid, 'pg_class'), '') order by indexrelid)
            from pg_index where indrelid = pg_class.oid)
    from pg_class where relkind in ('v', 'm') and relnamespace::regnamespace::text !~ '^(pg_|information_schema$)'
    order by 1
"""
"""Every view with all that can be said of it but the types of its columns."""


@pytest.fixture
def roles(earlier: Database) -> Iterator[None]:
    run(earlier, "create role analyst login", "create role team login")
    yield
    run(earlier, "drop owned by analyst, team cascade", "drop role analyst", "drop role team")


def state(database: Database) -> list[tuple[object, ...]]:
    with psycopg.connect(database.url) as connection:
        rows = [row for row in connection.execute(STATE).fetchall() if row[0] not in VIEWS]  # a later migration's
    ours = {row[0] for row in rows if str(row[0]).startswith("current_")}
    # A migration may define our own views anew, and add columns to them.
    return [row if row[0] not in ours else (*row[:6], row[7], *row[9:]) for row in rows]


def types_of_record_ids(database: Database) -> set[str]:
    with psycopg.connect(database.url) as connection:
        return {
            type_
            for (type_,) in connection.execute(
                "select format_type(atttypid, atttypmod) from pg_attribute join pg_class on attrelid = pg_class.oid "
                "where attname ~ '^(sales|purchase|payment)_record_id$' and relkind in ('r', 'v') union all "
                "select data_type from information_schema.sequences where sequence_name ~ 'record_id'"
            )
        }


@pytest.mark.usefixtures("roles")
def test_views_come_back_as_they_were_on_wider_record_ids(earlier: Database) -> None:
    run(earlier, REPORTS)
    before = state(earlier)
    assert types_of_record_ids(earlier) == {"integer"}
    assert migrate(Warehouse(earlier, "public")) == "0002"
    assert types_of_record_ids(earlier) == {"bigint"}
    assert state(earlier) == before
    with psycopg.connect(make_conninfo(earlier.url, user="analyst")) as connection:
        assert connection.execute('select * from "Reports".totals').fetchall() == [(7, 12)]
    run(earlier, 'refresh materialized view "Reports".summary', "drop view unrelated")


def test_the_current_views_show_the_newest_batch_after_the_migration(earlier: Database) -> None:
    newest = "select units_sold from current_sales_order"
    with psycopg.connect(earlier.url) as connection:
        assert connection.execute(newest).fetchall() == [(11,)]
    migrate(Warehouse(earlier, "public"))
    with psycopg.connect(earlier.url) as connection:
        assert connection.execute(newest).fetchall() == [(12,)]


def test_what_the_owner_set_for_a_current_view_is_kept(earlier: Database) -> None:
    run(
        earlier,
        "alter view current_payment set (security_barrier = true)",
        "comment on view current_payment is 'Ours'",
        "comment on column fact_payment.payment_record_id is 'Ours, too'",
        "comment on table fact_sales_order is 'And this'",
    )
    migrate(Warehouse(earlier, "public"))
    with psycopg.connect(earlier.url) as connection:
        assert connection.execute(
            "select reloptions, obj_description(oid, 'pg_class') from pg_class where relname = 'current_payment'"
        ).fetchall() == [(["security_barrier=true"], "Ours")]
        assert connection.execute(
            "select col_description('fact_payment'::regclass, 1), obj_description('fact_sales_order'::regclass)"
        ).fetchall() == [("Ours, too", "And this")]


LOST = {
    "a trigger": (
        "create view orders as select * from current_sales_order; create function f() returns trigger language plpgsql "
        "as 'begin return null; end'; create trigger ask instead of insert on orders for each row execute function f()",
        "trigger ask on view orders",
    ),
    "a rule": (
        "create view orders as select * from current_sales_order; "
        "create rule ignore as on delete to orders do instead nothing",
        "rule ignore on view orders",
    ),
    "a default": (
        "create view orders as select * from current_sales_order; alter view orders alter units_sold set default 1",
        "default value for column units_sold of view orders",
    ),
    "a function of SQL": (
        "create function newest() returns bigint "
        "begin atomic select max(sales_record_id) from current_sales_order; end",
        "function newest",
    ),
    "another column": (
        "create view orders as select * from current_sales_order; create table kept (row orders)",
        "orders",
    ),
    "another type": (
        "create function twice(integer) returns integer language sql immutable as 'select $1 * 2'; "
        "create view orders as select twice(sales_record_id) from fact_sales_order",
        "view public.orders cannot be re-created",
    ),
}


@pytest.mark.parametrize(("statements", "named"), LOST.values(), ids=LOST)
def test_what_would_not_come_back_is_named_and_nothing_is_changed(
    earlier: Database, statements: str, named: str
) -> None:
    run(earlier, statements)
    before = catalogue(earlier)
    with pytest.raises(WarehouseSchemaError, match=named):
        migrate(Warehouse(earlier, "public"))
    assert catalogue(earlier) == before


def test_a_full_disk_is_no_fault_of_the_view(earlier: Database) -> None:
    run(
        earlier,
        "create view orders as select * from current_sales_order",
        "create function no_space() returns event_trigger language plpgsql as $$ begin "
        "raise disk_full using message = 'could not extend file: No space left on device'; end $$",
        "create event trigger full_disk on ddl_command_start when tag in ('CREATE VIEW') execute function no_space()",
    )
    with pytest.raises(DiskFullError, match="No space left on device"):
        migrate(Warehouse(earlier, "public"))


@pytest.mark.usefixtures("roles")
def test_views_of_owners_whom_the_loader_is_no_member_of_are_named(earlier: Database) -> None:
    run(
        earlier,
        "create view totals as select count(*) from current_payment",
        "alter view totals owner to team",
        "grant create on schema public to analyst, team",
        *(
            f"alter table {name} owner to analyst"
            for name in ("fact_payment", "fact_sales_order", "fact_purchase_order", "quarantine", "load_history")
        ),
        *(f"alter view current_{name} owner to analyst" for name in ("payment", "sales_order", "purchase_order")),
        "alter table totes_warehouse_version owner to analyst",
        *(f"alter table if exists {name} owner to analyst" for name in DIMENSIONS),  # later ones do not exist yet
    )
    loader = Database("warehouse", make_conninfo(earlier.url, user="analyst"))
    with pytest.raises(WarehouseSchemaError, match=r"these views read: public\.totals\. .* Run totes migrate"):
        migrate(Warehouse(loader, "public"))
    run(earlier, "grant team to analyst")
    assert migrate(Warehouse(loader, "public")) == "0002"
    run(earlier, "revoke team from analyst")
    assert next(row[3] for row in state(earlier) if row[0] == "totals") == "team"


def test_a_bigint_that_the_owner_made_is_welcome(empty: Database) -> None:
    run(
        empty,
        PREDEFINED,
        "alter table fact_payment alter payment_record_id type bigint",
        "alter sequence fact_payment_payment_record_id_seq as bigint maxvalue 10000000000",
        "alter table fact_sales_order alter sales_record_id drop default",
        "drop sequence fact_sales_order_sales_record_id_seq",
        "alter table fact_sales_order alter sales_record_id add generated always as identity",
    )
    assert migrate(Warehouse(empty, "public")) is None
    assert types_of_record_ids(empty) == {"bigint"}
    with psycopg.connect(empty.url) as connection:
        assert connection.execute(
            "select seqmax from pg_sequence where seqrelid = 'fact_payment_payment_record_id_seq'::regclass"
        ).fetchall() == [(10_000_000_000,)]


def test_an_adopted_text_column_is_widened_under_its_views(empty: Database) -> None:
    run(
        empty,
        PREDEFINED,
        "alter table dim_staff alter last_name type varchar(10)",
        "create view staff as select last_name from dim_staff; grant select on staff to public",
    )
    before = state(empty)
    assert migrate(Warehouse(empty, "public")) is None
    assert next(row for row in state(empty) if row[0] == "staff") == before[0]
    run(empty, "insert into dim_staff values (1, 'f', repeat('x', 100), 'd', 'l', 'e')")


def test_migrations_end_where_they_began_to_be_a_plain_warehouse(earlier: Database, empty: Database) -> None:
    migrate(Warehouse(earlier, "public"))
    migrate(Warehouse(empty, "fresh"))
    columns = (
        "select relname, attname, attnum, format_type(atttypid, atttypmod), attnotnull from pg_attribute "
        "join pg_class on attrelid = pg_class.oid where relnamespace = %s::regnamespace and attnum > 0 "
        "and relkind in ('r', 'v') order by 1, 3"
    )
    with psycopg.connect(earlier.url) as connection:
        assert (
            connection.execute(columns, ["public"]).fetchall()
            == connection.execute(columns, ["fresh"]).fetchall()
            != []
        )
    assert migrate(Warehouse(earlier, "public")) == HEAD


def test_a_view_of_current_versions_is_replaced_with_its_options(earlier: Database) -> None:
    migrate(Warehouse(earlier))
    run(
        earlier, "alter view current_payment set (security_barrier = true)", "alter table fact_payment add memo varchar"
    )
    with psycopg.connect(earlier.url) as connection:
        replace_current_view(connection, "fact_payment")
        shown = connection.execute("select memo from current_payment limit 0").description
        options = connection.execute("select reloptions from pg_class where relname = 'current_payment'").fetchone()
    assert shown is not None
    assert options == (["security_barrier=true"],)
