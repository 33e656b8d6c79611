"""Sources whose text is not in UTF-8, or in no encoding at all."""

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from totes_dagster.local.postgres import EmbeddedPostgres
from totes_dagster.local.seeding import seed
from totes_dagster.platform import Platform
from totes_dagster_tests.end_to_end.badness import MENDED
from totes_dagster_tests.end_to_end.witness import Witness
from totes_dagster_tests.end_to_end.world import World


def recode(url: str, server: str, encoding: str) -> None:
    """Give a database another encoding; nothing may be in it."""
    name = sql.Identifier(str(conninfo_to_dict(url)["dbname"]))
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("drop database {}").format(name))
        connection.execute(
            sql.SQL("create database {} template template0 locale_provider libc locale 'C' encoding {}").format(
                name, sql.Literal(encoding)
            )
        )


def test_a_source_of_any_bytes_is_followed_and_what_is_no_text_set_aside(
    platform: Platform, postgres: EmbeddedPostgres
) -> None:
    recode(platform.source.url, postgres.url(), "SQL_ASCII")
    seed(platform.source.url, orders=60)
    company = World(platform)
    with psycopg.connect(platform.source.url) as connection:
        connection.execute(b"update design set design_name = E'Zo\\xc3\\xab' where design_id = 1")
        connection.execute(b"update sales_order set agreed_payment_date = E'\\xff' where sales_order_id = 7")
    company.refresh()
    assert company.quarantined() == [("sales_order", 7)]
    assert company.ask_one("select design_name from dim_design where design_id = 1") == "Zoë"
    with psycopg.connect(platform.source.url) as connection:
        connection.execute(b"update design set design_name = E'Zo\\xeb' where design_id = 1")
        connection.execute(b"alter table payment add note text default E'\\xfe\\xff'")
    company.refresh()
    assert company.quarantined() == [("design", 1), ("sales_order", 7)]
    assert company.reason("design", 1) == r"design.design_name is 'Zo\xeb', which cannot be decoded"
    assert company.ask_one("select design_name from dim_design where design_id = 1") == "Zoë"
    company.change("update design set design_name = 'Zoe' where design_id = 1", MENDED.format(7))
    company.refresh()
    assert company.quarantined() == []
    assert company.versions("fact_sales_order", 7) == ["live"]
    assert company.ask_one("select count(*) from current_payment") == 86


def test_text_of_another_encoding_arrives_as_what_it_means(
    platform: Platform, postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    recode(platform.source.url, postgres.url(), "LATIN1")
    seed(platform.source.url, orders=60)
    witness = Witness(World(platform))
    witness.change("update design set design_name = U&'Zo\\00eb' where design_id = 1")
    witness.refresh()
    assert witness.listed() == {}
    name = witness.world.ask_one(
        "select encode(convert_to(design_name, 'UTF8'), 'hex') from dim_design where design_id = 1"
    )
    assert bytes.fromhex(name) == "Zoë".encode()
