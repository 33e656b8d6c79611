"""The landing zone, and where exchange rates are fetched, as a Dagster resource."""

from dagster import ConfigurableResource
from pydantic import Field

from totes_dagster.config.platform import lake_zone
from totes_dagster.config.settings import LANDING
from totes_dagster.errors import SettingsError
from totes_dagster.feeds.landing import LandingZone
from totes_dagster.feeds.rates import RatesSource


class LandingResource(ConfigurableResource):  # type: ignore[type-arg]
    """Where the files of feeds are dropped."""

    url: str = Field(
        default="",
        description="s3://bucket[/prefix] or file:///folder; empty for the embedded stack's or, where databases are "
        "configured, for none.",
    )
    embedded: bool = Field(default=False, description="Whether to use the embedded stack's without a URL.")
    rates_url: str = Field(default="", description="Where exchange rates are fetched; empty if somebody drops them.")

    def zone(self) -> LandingZone | None:
        """The landing zone; None if there is none.

        Raises:
            SettingsError: the URL is not one of a bucket or folder.
        """
        return LandingZone(lake_zone("landing", self.url)) if self.url or self.embedded else None

    def required(self) -> LandingZone:
        """The landing zone.

        Raises:
            SettingsError: there is none.
        """
        zone = self.zone()
        if zone is None:
            raise SettingsError(f"There is no landing zone for the files of feeds. Set {LANDING}.")
        return zone

    def rates_source(self) -> RatesSource:
        """Where exchange rates are fetched.

        Raises:
            SettingsError: the URL is not one.
        """
        return RatesSource.parse(self.rates_url)
