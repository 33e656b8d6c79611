"""The search for secrets finds them in every form that somebody could still read them from."""

import base64
import html
import json
import sqlite3
import zlib
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, quote_plus

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from totes_dagster_tests.system.security.planted_secrets import Planted, contents, found

SECRET, OTHER = Planted("totesys"), Planted("warehouse")

FORMS: dict[str, Callable[[str], str | bytes]] = {
    "as it is": str,
    "quote": lambda text: quote(text, safe=""),
    "quote but for slashes": quote,
    "quote_plus": quote_plus,
    "percent-encoded piecewise": lambda text: text.replace("@", "%40").replace("'", "%27"),
    "percent-encoded twice": lambda text: quote(quote(text, safe=""), safe=""),
    "JSON": json.dumps,
    "JSON in JSON": lambda text: json.dumps(json.dumps(text)),
    "repr": repr,
    "repr of bytes": lambda text: repr(text.encode()),
    "connection string": lambda text: make_conninfo(password=text),
    "SQL literal": lambda text: sql.Literal(text).as_string(None),
    "HTML": html.escape,
    "upper case": str.upper,
    "base64": lambda text: base64.b64encode(text.encode()),
    "basic authorization": lambda text: base64.b64encode(f"reader:{text}".encode()),
    "URL-safe base64": lambda text: base64.urlsafe_b64encode(f"u:{text}".encode()),
    "hexadecimal": lambda text: text.encode().hex(),
    "UTF-16": lambda text: text.encode("utf-16"),
    "its end": lambda text: text.partition("@")[2],
    "its beginning": lambda text: text.partition("/")[0],
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_found(form: str) -> None:
    encoded = FORMS[form](SECRET.text)
    data = b"before " + (encoded if isinstance(encoded, bytes) else encoded.encode()) + b" after"
    (line,) = found([SECRET, OTHER], "a file", data)
    assert line.startswith("totesys in a file: b'before ")


@pytest.mark.parametrize("pack", [lambda data: data, zlib.compress], ids=["as it is", "compressed"])
def test_databases_are_looked_into(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    with sqlite3.connect(tmp_path / "runs.db") as connection:
        connection.execute("create table runs (body blob)")
        connection.execute("insert into runs values (?)", [pack(SECRET.text.encode())])
    assert any(found([SECRET], name, data) for name, data in contents(tmp_path))


def test_parquet_is_looked_into(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": [SECRET.text] * 100}), tmp_path / "part.parquet", compression="zstd")
    assert any(found([SECRET], name, data) for name, data in contents(tmp_path))
