"""The page about metrics says what their declarations say."""

from docs.metrics_reference import PAGE, page


def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run make reference"
