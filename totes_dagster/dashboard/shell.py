"""What surrounds a page: navigation, how current it is, filters, and what a reader has to know, said in words."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import sha256

from totes_dagster.dashboard.filters import NAMES, in_words
from totes_dagster.dashboard.formats import duration
from totes_dagster.dashboard.markup import Html, element, joined
from totes_dagster.dashboard.reading import PageData, SetAside, State
from totes_dagster.dashboard.rendering import Addresses, Rendered, moment_element
from totes_dagster.dashboard.site import PAGES
from totes_dagster.errors import TotesError

STALE_AFTER = timedelta(minutes=30)
"""How old the newest snapshot may be before the page says that it is: the platform's own limit of freshness."""

_LABELS = {"since": "From", "until": "to", "currency": "Currency", "country": "Country", "department": "Department"}
_POLICY_OF_FILES = (
    "default-src 'none'; script-src 'self' file:; style-src 'self' file:; img-src 'self' file: data:; base-uri 'none'; "
    "form-action 'none'"
)
"""An exported page runs only the scripts beside it. Some browsers do not take files for the page's own origin."""

_DAYS = {"since", "until"}


def version_of(state: State) -> str:
    """A short name for a state of the warehouse: that of another state is another."""
    return sha256(repr(state).encode()).hexdigest()[:16]


def document(
    shown: Rendered, addresses: Addresses, now: datetime, *, is_live: bool, problem: TotesError | None = None
) -> str:
    """A page as a whole document.

    Args:
        shown: its content.
        addresses: where things are.
        now: the current time, UTC.
        is_live: whether it is served, and not exported: it then has filters, and follows new batches.
        problem: why it could not be brought up to date, if it could not.
    """
    data = shown.data
    main = element(
        "main",
        element("h1", data.page.title),
        element("p", data.page.lead, class_="lead"),
        _form(data, addresses) if is_live and data.page.conditions else _chosen(data),
        element("div", _notices(shown, addresses, now, problem, is_live=is_live), class_="notices", aria_live="polite"),
        shown.body,
        id="main",
        tabindex="-1",
        data_version=version_of(data.state) if is_live else None,
        data_page=data.page.name,
    )
    policy = None if is_live else element("meta", http_equiv="Content-Security-Policy", content=_POLICY_OF_FILES)
    return _html(f"{data.page.title} | Totes", data.page.name, _as_of(data), main, addresses, policy)


def message(title: str, text: str, addresses: Addresses, *, try_again: bool = False) -> str:
    """A document that says why there is no page; if that may pass, the browser tries again by itself."""
    main = element("main", element("h1", title), element("p", text, class_="lead"), id="main", tabindex="-1")
    again = element("meta", http_equiv="refresh", content="5") if try_again else None
    return _html(f"{title} | Totes", "", None, main, addresses, again)


def _html(
    title: str, current: str, status: Html | None, main: Html, addresses: Addresses, extra: Html | None = None
) -> str:
    links = [
        element("a", page.title, href=addresses.page(page.name), aria_current="page" if page.name == current else None)
        for page in PAGES.values()
    ]
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("title", title),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="referrer", content="no-referrer"),
        extra,
        element("link", rel="icon", href="data:,"),
        element("link", rel="stylesheet", href=addresses.asset("dashboard.css")),
        element("script", src=addresses.asset("vega.js"), defer=True),
        element("script", src=addresses.asset("dashboard.js"), defer=True),
    )
    header = element(
        "header",
        element("p", "Totes", class_="brand"),
        element("nav", links, aria_label="Pages"),
        status,
    )
    skip = element("a", "Skip to the content", href="#main", class_="skip")
    return f"<!doctype html>\n{element('html', head, element('body', skip, header, main), lang='en')}\n"


def _as_of(data: PageData) -> Html:
    state = data.state
    if state.snapshot_at is None:
        return element("p", "No batch has been loaded yet.", class_="status", id="status")
    return element(
        "p",
        "As of ",
        moment_element(state.snapshot_at),
        f" · batch {state.batch:,}",
        element("span", class_="age"),
        class_="status",
        id="status",
    )


def _form(data: PageData, addresses: Addresses) -> Html:
    page, given = data.page, data.filters.given()
    fields = []
    for name in NAMES:
        if name not in page.conditions:
            continue
        control = _day_input(name, given) if name in _DAYS else _choice(name, given, data.choices.get(name, ()))
        fields.append(element("label", element("span", page.labels.get(name, _LABELS[name])), control))
    kept = [
        element("input", type="hidden", name=name, value=value)
        for name, value in given.items()
        if name not in page.conditions
    ]
    clear = element("a", "Remove all filters", href=addresses.page_without_filters(page.name)) if given else None
    button = element("button", "Apply", type="submit")
    return element("form", fields, kept, button, clear, method="get", class_="filters", aria_label="Filters")


def _chosen(data: PageData) -> Html | None:
    """The filters of an exported page, in words."""
    given = [f"{_LABELS[name].lower()} {value}" for name, value in data.filters.given().items()]
    return element("p", f"Only: {', '.join(given)}.", class_="lead") if given and data.page.conditions else None


def _day_input(name: str, given: Mapping[str, str]) -> Html:
    return element("input", type="date", name=name, value=given.get(name))


def _choice(name: str, given: Mapping[str, str], choices: Sequence[str]) -> Html:
    chosen = given.get(name)
    offered = list(choices) if chosen is None or chosen in choices else [*choices, chosen]
    none = element("option", "all, in pounds" if name == "currency" else "all", value="")
    options = [element("option", value, value=value, selected=value == chosen) for value in offered]
    return element("select", none, options, name=name)


def _notices(
    shown: Rendered, addresses: Addresses, now: datetime, problem: TotesError | None, *, is_live: bool
) -> list[Html]:
    data = shown.data
    page, filters, state = data.page, data.filters, data.state
    said: list[tuple[str, Html]] = []
    if problem:
        said.append(
            ("bad", joined([f"The page shows an earlier state, because the newest could not be read: {problem}"]))
        )
    if state.snapshot_at is None:
        said.append(("bad", joined(["The warehouse is empty: no batch has been loaded yet."])))
    elif is_live and now - state.snapshot_at > STALE_AFTER:
        age = duration((now - state.snapshot_at).total_seconds())
        text = (
            f"The newest batch is {age} old. If the source has changed since, that is not here: look at Dagster's UI, "
            "or run totes status."
        )
        said.append(("look", joined([text])))
    missing = _missing(data.set_aside)
    if missing:
        is_here = page.name == "health"
        link = element(
            "a", "below" if is_here else "Health", href="#quarantine" if is_here else addresses.page("health")
        )
        said.append(("look", joined([missing, " See ", link, "."])))
    (headline,) = data.tables[page.headline.name].rows
    unconverted = headline.get("unconverted")
    if unconverted:
        text = (
            f"{unconverted:,} of these have no exchange rate that is at most 7 days old. "
            f"They are counted, but are in no amount in {'pounds' if filters.unit == 'GBP' else filters.unit}."
        )
        said.append(("look", joined([text])))
    unknown = [
        f"{value!r} is not a {name} in the warehouse."
        for name, value in filters.given().items()
        if name in data.choices and value not in data.choices[name] and name in page.conditions
    ]
    said += [("look", joined([text])) for text in unknown]
    ignored = [name for name in filters.given() if name not in page.conditions]
    if ignored:
        said.append(("note", joined([f"This page is not filtered by {in_words(ignored)}."])))
    if shown.is_empty and state.snapshot_at is not None:
        said.append(("look", joined(["Nothing matches these filters. Remove one, or choose a longer period."])))
    return [element("p", text, class_=f"notice {kind}") for kind, text in said]


def _missing(set_aside: SetAside) -> str:
    """What is missing from all pages, in a sentence or two; empty if nothing is."""
    said = []
    if set_aside.rows:
        rows = _counted(set_aside.rows, "row of the source is", "rows of the source are")
        said.append(f"{rows} in quarantine, and missing here or shown in an older version.")
    of_feeds = []
    if set_aside.rows_of_feeds:
        of_feeds.append(f"{_counted(set_aside.rows_of_feeds, 'row of a feed is', 'rows of feeds are')} in quarantine")
    if set_aside.files:
        of_feeds.append(f"{_counted(set_aside.files, 'file of a feed was', 'files of feeds were')} refused")
    if of_feeds:
        said.append(f"{' and '.join(of_feeds)}: rates, deliveries or targets may be missing, or older.")
    return " ".join(said)


def _counted(number: int, one: str, several: str) -> str:
    return f"1 {one}" if number == 1 else f"{number:,} {several}"
