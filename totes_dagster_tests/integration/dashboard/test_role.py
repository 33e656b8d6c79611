"""The dashboard's own role: every page can be read with it, and it is granted nothing that no page reads."""

import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from totes_dagster.dashboard import reading
from totes_dagster.dashboard.filters import Filters
from totes_dagster.dashboard.site import PAGES
from totes_dagster_tests.integration.metrics.lived import Lived

SCRIPT = Path(__file__).parents[3] / "deploy" / "roles" / "dashboard.sql"

EVERY_FILTER = Filters(date(2026, 1, 1), date(2026, 8, 31), None, "United Kingdom", "Sales")
FILTERS = (Filters(), Filters(currency="USD"), EVERY_FILTER)

_DEPENDENCIES = """
    select class.relname, attribute.attname
    from pg_rewrite as rule
    join pg_depend as needed on needed.objid = rule.oid and needed.classid = 'pg_rewrite'::regclass
    join pg_class as class on class.oid = needed.refobjid and needed.refclassid = 'pg_class'::regclass
    left join pg_attribute as attribute on attribute.attrelid = class.oid and attribute.attnum = needed.refobjsubid
        and needed.refobjsubid > 0
    where rule.ev_class = 'what_is_read'::regclass and class.relname <> 'what_is_read'
"""


def granted() -> dict[str, set[str] | None]:
    """What the script lets the role select from: by table, the columns, or None for all."""
    found = re.findall(r"^    \('(\w+)', (?:null|'([\w, ]+)')\)", SCRIPT.read_text(), re.MULTILINE)
    return {table: set(columns.split(", ")) if columns else None for table, columns in found}


@pytest.fixture(scope="module")
def read(lived: Lived) -> Iterator[dict[str, set[str]]]:
    """What pages read, by table, as PostgreSQL says of views that are made of their queries."""
    choices = sql.SQL("select * from ({}) as choice (name, value)").format(reading._CHOICES)
    queries = [
        reading._STATE,
        reading._SET_ASIDE,
        choices,
        *(page.statement(filters) for page in PAGES.values() for filters in FILTERS),
    ]
    found: dict[str, set[str]] = {}
    with psycopg.connect(lived.world.warehouse_url) as connection:
        for query in queries:
            connection.execute(sql.SQL("create view what_is_read as {}").format(query))
            for table, column in connection.execute(_DEPENDENCIES):
                found.setdefault(table, set()).update({column} - {None})
            connection.execute("drop view what_is_read")
        connection.rollback()
    yield found


def test_its_role_may_read_all_that_pages_read(read: dict[str, set[str]]) -> None:
    for table, columns in read.items():
        assert table in granted(), f"deploy/roles/dashboard.sql does not grant {table}"
        may = granted()[table]
        assert may is None or columns <= may, f"deploy/roles/dashboard.sql lacks columns of {table}"


def test_its_role_may_read_nothing_else(read: dict[str, set[str]]) -> None:
    assert granted().keys() == read.keys()
    for table, columns in granted().items():
        assert columns is None or columns == read[table]


def test_no_personal_data_is_granted() -> None:
    for table in ("dim_staff", "dim_counterparty"):
        columns = granted()[table]
        assert columns is not None
        assert not [name for name in columns if re.search("first|last|email|phone|address|postal", name)]
