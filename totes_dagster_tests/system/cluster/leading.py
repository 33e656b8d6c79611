"""A process that leads: one refresh, with the settings of its environment, in which small tables count as large."""

import pytest

from totes_dagster.config.platform import platform_from_environment
from totes_dagster.pipeline import refresh
from totes_dagster_tests.system.cluster.conftest import make_shares_small

if __name__ == "__main__":
    make_shares_small(pytest.MonkeyPatch())
    refresh(platform_from_environment())
