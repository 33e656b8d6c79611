"""Looking for secrets in everything that an error shows."""

import traceback
from collections.abc import Iterator
from urllib.parse import quote, quote_plus

from totes_dagster.errors import TotesError


def assert_clear(error: TotesError, *secrets: str) -> TotesError:
    """Check that an error is one line long, and that no secret shows in it, in its causes, or in its traceback."""
    assert "\n" not in str(error)
    assert str(error).strip() == str(error) != ""
    shown = "\n".join(_shown(error))
    for secret in secrets:
        for spelling in (secret, quote(secret, safe=""), quote(secret), quote_plus(secret)):
            assert spelling not in shown
    return error


def _shown(error: BaseException) -> Iterator[str]:
    yield "".join(traceback.format_exception(error))
    link: BaseException | None = error
    while link is not None:
        yield from (str(link), repr(link), repr(link.args), repr(vars(link)))
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
