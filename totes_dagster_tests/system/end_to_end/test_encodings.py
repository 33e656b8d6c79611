"""Sources whose text is not in UTF-8, or in no encoding at all."""

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from totes_dagster.config.platform import Platform
from totes_dagster.local.server import EmbeddedPostgres
from totes_dagster.pipeline import reconcile
from totes_dagster.simulator.seeding import create_schema, seed
from totes_dagster_tests.system.end_to_end.badness import MENDED
from totes_dagster_tests.system.end_to_end.witness import Witness
from totes_dagster_tests.world import World


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


@pytest.mark.parametrize(
    ("encoding", "bad", "reason"),
    [
        ("WIN1252", b"A\x81B", r"A\x81B"),
        ("EUC_JP", b"A\xa9\xa1B", r"A\xa9\xa1B"),
        ("WIN1251", b"A\x98B", r"A\x98B"),
    ],
)
def test_a_byte_without_a_meaning_sets_its_row_aside_whatever_the_encoding(
    platform: Platform, postgres: EmbeddedPostgres, encoding: str, bad: bytes, reason: str
) -> None:
    recode(platform.source.url, postgres.url(), encoding)
    create_schema(platform.source.url)
    company = World(platform)
    address = "insert into address values ({}, 'a', null, null, {}, 'p', 'l', 't', now(), now())"
    good = {"WIN1252": "Zoë €", "EUC_JP": "東京", "WIN1251": "Жук"}[encoding]
    with psycopg.connect(platform.source.url) as connection:
        connection.execute("set client_encoding to UTF8")
        connection.execute(address.format(1, f"'{good}'"))
        escaped = "".join(f"\\x{byte:02x}" for byte in bad)
        connection.execute(address.format(2, f"E'{escaped}'"))
        connection.execute("create table stranger (note text)")
        connection.execute(f"insert into stranger values (E'{escaped}'), ('{good}')")
    ingested = company.refresh().ingested
    assert company.quarantined() == [("address", 2)]
    assert company.reason("address", 2) == f"address.city is '{reason}', which cannot be decoded"
    shown = company.ask_one("select encode(convert_to(city, 'UTF8'), 'hex') from dim_location where location_id = 1")
    assert bytes.fromhex(shown).decode() == good
    assert not any(reconcile(platform).found.values())
    assert ingested.batch is not None
    (part,) = ingested.batch.tables["stranger"].parts
    assert platform.lake.ingestion.read_part(part.path).column("note").to_pylist() == [None, good]


def test_what_is_named_in_another_encoding_is_found(platform: Platform, postgres: EmbeddedPostgres) -> None:
    recode(platform.source.url, postgres.url(), "LATIN1")
    seed(platform.source.url, orders=60)
    company = World(platform)
    with psycopg.connect(platform.source.url) as connection:
        connection.execute("set client_encoding to UTF8")
        connection.execute('create table "Größe" as select 1 as "é"')
        connection.execute("alter table staff add \"Straße\" text default 'Ü'")
    manifest = company.refresh().ingested.batch
    assert manifest is not None
    (part,) = manifest.tables["Größe"].parts
    assert platform.lake.ingestion.read_part(part.path).column("é").to_pylist() == [1]
    (part,) = manifest.tables["staff"].parts
    assert set(platform.lake.ingestion.read_part(part.path).column("Straße").to_pylist()) == {"Ü"}


def test_a_strangers_name_without_a_meaning_stops_nothing(
    platform: Platform, postgres: EmbeddedPostgres, caplog: pytest.LogCaptureFixture
) -> None:
    recode(platform.source.url, postgres.url(), "WIN1252")
    seed(platform.source.url, orders=60)
    company = World(platform)
    with psycopg.connect(platform.source.url) as connection:
        connection.execute("set client_encoding to WIN1252")
        connection.execute("do $$ begin execute format('create table %I (a int)', E'A\\x81B'); end $$")
    company.refresh()
    assert "Undeclared tables are left out" in caplog.text
    assert company.ask_one("select count(*) from current_sales_order") == 60
