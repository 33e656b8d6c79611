"""`totes feeds`: the state of the feeds, and taking, fetching and describing them."""

import json
import sys
from datetime import datetime

import click

from totes_dagster.cli.group import Command, Commands, interruptible, json_option


@click.group(cls=Commands, invoke_without_command=True, short_help="Show or take the feeds: rates, shipments, targets.")
@json_option
@click.pass_context
def feeds(context: click.Context, *, as_json: bool) -> None:
    """Show what the warehouse holds of each feed. `totes refresh` takes them too."""
    if context.invoked_subcommand:
        return
    from totes_dagster.cli.output import feeds_as_json, print_json, show_feeds
    from totes_dagster.config.platform import platform_from_environment
    from totes_dagster.warehouse.feed_status import feed_statuses

    statuses = feed_statuses(platform_from_environment().warehouse)
    if as_json:
        print_json(feeds_as_json(statuses))
    else:
        show_feeds(statuses)


@feeds.command(cls=Command, short_help="Take the new files of feeds, and load them.")
@click.argument("names", nargs=-1, metavar="[FEED]...")
def take(*, names: tuple[str, ...]) -> None:
    """Take the files that no batch has taken from the landing zone, and load them; of all feeds, or of some.

    The exit status is 1 if a feed failed; the others are taken all the same.
    """
    from totes_dagster import feed_pipeline
    from totes_dagster.cli.output import show_failed_feeds, show_refreshed_feeds
    from totes_dagster.config.platform import platform_from_environment
    from totes_dagster.config.settings import LANDING
    from totes_dagster.errors import SettingsError
    from totes_dagster.feeds.declared import feed_named
    from totes_dagster.runtime.terminal import shown_progress

    chosen = [feed_named(name).name for name in names]
    platform = platform_from_environment()
    if platform.landing is None:
        raise SettingsError(f"There is no landing zone for the files of feeds. Set {LANDING}.")
    with shown_progress() as progress:
        done = interruptible(lambda: feed_pipeline.refresh_feeds(platform, progress, only=chosen or None))
    show_refreshed_feeds(done, say_nothing_new=True)
    sys.exit(int(show_failed_feeds(done)))


@feeds.command(cls=Command, short_help="Fetch exchange rates, and load them.")
@click.option(
    "--since",
    type=click.DateTime(["%Y-%m-%d"]),
    help="First day to ask for; by default two weeks before the newest rate, or before the calendar begins.",
)
def fetch(*, since: datetime | None) -> None:
    """Fetch exchange rates from TOTES_RATES_URL, drop them into the landing zone, and load them."""
    import os

    from totes_dagster import feed_pipeline, pipeline
    from totes_dagster.cli.output import show_refreshed_feeds
    from totes_dagster.config.platform import platform_from_environment
    from totes_dagster.config.settings import LANDING, RATES_URL
    from totes_dagster.errors import SettingsError
    from totes_dagster.feeds.declared import EXCHANGE_RATE
    from totes_dagster.feeds.landing import LandingZone
    from totes_dagster.feeds.rates import RatesSource
    from totes_dagster.runtime.terminal import console
    from totes_dagster.warehouse.feed_status import rates_needed

    platform = platform_from_environment()
    if platform.landing is None:
        raise SettingsError(f"There is no landing zone for the files of feeds. Set {LANDING}.")
    landing, source = LandingZone(platform.landing), RatesSource.parse(os.environ.get(RATES_URL) or "")
    pipeline.migrate(platform.warehouse)
    needed = rates_needed(platform.warehouse)
    fetched = feed_pipeline.fetch_exchange_rates(
        source, needed, landing, platform.lake.ingestion, since=since.date() if since else None
    )
    if fetched.since is None:
        console.print("The warehouse has no orders yet, and so needs no rates. Run `totes refresh` first.")
        return
    asked = f"{', '.join(fetched.currencies)} since {fetched.since}, from {source.url}"
    console.print(f"Dropped {fetched.path}: {asked}." if fetched.path else f"Nothing new: {asked}.", soft_wrap=True)
    done = feed_pipeline.refresh_feed(EXCHANGE_RATE, landing.settled, platform.lake, platform.warehouse)
    show_refreshed_feeds({EXCHANGE_RATE.name: done})


@feeds.command(cls=Command, short_help="Print the contract of a feed as JSON Schema.")
@click.argument("name", metavar="FEED")
def contract(*, name: str) -> None:
    """Print what each row of a feed's files must look like, as JSON Schema."""
    from totes_dagster.feeds.contracts import json_schema_of
    from totes_dagster.feeds.declared import feed_named

    click.echo(json.dumps(json_schema_of(feed_named(name).contract), indent=2))
