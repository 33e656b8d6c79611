"""However a setting is misspelled, its error is named, and shows nothing of the secret in it."""

import traceback
from collections.abc import Iterator
from urllib.parse import quote, quote_plus

import pytest
from dagster._utils.error import serializable_error_info_from_exc_info
from hypothesis import given, settings
from hypothesis import strategies as st

from totes_dagster.errors import TotesError
from totes_dagster.lake.zone import Zone
from totes_dagster.postgres.database import Database
from totes_dagster_tests.system.security.planted_secrets import Planted, found
from totes_dagster_tests.system.security.secured_postgres import SecuredPostgres

PASSWORD = Planted("password")

URLS = (
    "postgresql://reader:{}@{at}/totesys",
    "postgresql://reader:{}@{at}",
    "postgresql://reader:{}@{at}/nowhere",
    "postgresql://reader:{}@{at}/totesys?sslmode=please",
    "postgresql://reader:{}@{at}/totesys?no_such_option=1",
    "postgresql://reader:{}@{at}/totesys?sslmode=verify-full&sslrootcert=/nowhere",
    "postgresql://reader:{}@no-such-host.invalid/totesys",
    "postgresql://reader:{}@a..b/totesys",
    "postgresql://reader:{}@127.0.0.1:port/totesys",
    "postgresql://reader:{}@127.0.0.1:99999/totesys",
    "postgresql://reader:{}@127.0.0.1:9,127.0.0.1:9/totesys",
    "postgresql://reader:{}%@{at}/totesys",
    "postgresql://reader:{}%00@{at}/totesys",
    "postgresql://reader:{}%E4@{at}/totesys",
    "postgresql://reader:{}\udce4@{at}/totesys",
    "postgresql://reader:{}\n@{at}/totesys",
    "postgresql://reader@{}@{at}/totesys",
    "postgresql://reader/{}@{at}/totesys",
    "postgresql://reader:{}/{at}/totesys",
    "postgresql://reader:1?{}@{at}/totesys",
    "postgresql://reader:1#{}@{at}/totesys",
    "postgresql://{at}/totesys?user=reader&password={}",
    "postgresql://{at}/totesys?user=reader&passwort={}",
    "postgresql://{at}/totesys?user=reader;password={}",
    "postgresql+psycopg2://reader:{}@{at}/totesys",
    "jdbc:postgresql://{at}/totesys?user=reader&password={}",
    "postgres:/reader:{}@{at}/totesys",
    "POSTGRESQL://reader:{}@{at}/totesys",
    "https://reader:{}@{at}/totesys",
    "reader:{}@{at}/totesys",
    "host=127.0.0.1 port=9 user=reader password={} dbname=totesys",
    "host=127.0.0.1 port=9 user=reader password='{}' dbname=totesys",
    "host=127.0.0.1 port=9 user=reader dbname=totesys password={}",
    "host=127.0.0.1 port=9 user=reader dbname=totesys passwort={}",
    "{}",
)
"""What is given for a URL; the password goes in the braces, and host and port where it says `at`."""


def spelled(text: str) -> Iterator[str]:
    """A password as people put it into a URL."""
    yield text
    yield quote(text, safe="")
    yield quote(text)
    yield quote_plus(text)
    yield text.replace("@", "%40").replace("/", "%2F").replace(" ", "%20")
    yield text.replace("\\", "\\\\").replace("'", "\\'")


def shown(error: BaseException) -> str:
    """Everything that may come to be shown of an error: by Python, by Dagster, and by whoever looks closer."""
    assert error.__traceback__ is not None
    excepted = type(error), error, error.__traceback__
    told = ["".join(traceback.format_exception(error))]
    told.append(str(serializable_error_info_from_exc_info(excepted)))
    link: BaseException | None = error
    while link is not None:
        told += [str(link), repr(link), repr(link.args), repr(vars(link))]
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return "\n".join(told)


def assert_hidden(error: TotesError) -> None:
    assert found([PASSWORD], type(error).__name__, shown(error).encode(errors="surrogateescape")) == []
    assert len(str(error).splitlines()) == 1


def assert_refused(url: str) -> None:
    """See that a connection is refused, and nothing shows."""
    with pytest.raises(TotesError) as raised, Database("totesys", url).connect():
        pass
    assert_hidden(raised.value)


@pytest.mark.parametrize(
    "template",
    [
        "s3://AKIA:{}@bucket/prefix",
        "s3://AKIA:{}",
        "s3://bucket/prefix?key={}",
        "s3://bucket/prefix#{}",
        "https://AKIA:{}@bucket.s3.amazonaws.com/prefix",
        "https://bucket.s3.amazonaws.com/prefix?X-Amz-Security-Token={}",
        "AKIA:{}@bucket",
        pytest.param(
            "file://AKIA:{}@host/folder",
        ),
    ],
)
def test_a_wrong_url_of_a_lake_shows_no_key(template: str) -> None:
    for key in spelled(PASSWORD.text):
        with pytest.raises(TotesError) as raised:
            Zone(template.replace("{}", key))
        assert_hidden(raised.value)


@pytest.mark.parametrize("template", URLS)
def test_a_wrong_url_shows_no_password(server: SecuredPostgres, template: str) -> None:
    for password in spelled(PASSWORD.text):
        assert_refused(template.replace("{}", password).replace("{at}", f"127.0.0.1:{server.port}"))


SPECIAL = st.lists(st.sampled_from(["%41", "%2F", "%zz", *"@/:?#%&=;,'\"\\ []+1aé\t\n\udcff"]), max_size=5).map("".join)


@settings(max_examples=150, deadline=None)
@given(before=SPECIAL, after=SPECIAL, end=st.sampled_from(["127.0.0.1:9/totesys", "127.0.0.1:9", "a..b", ":x/y", ""]))
def test_a_password_that_is_not_encoded_does_not_show(before: str, after: str, end: str) -> None:
    assert_refused(f"postgresql://reader:{before}passwordbanana{after}@{end}")
