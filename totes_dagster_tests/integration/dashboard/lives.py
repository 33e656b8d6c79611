"""Which lives of the company the answers of the dashboard are tested with."""

import pytest

from totes_dagster_tests.integration.metrics.lived import lives

LIFE = 2
"""The one that all runs have."""

EACH_LIFE = pytest.mark.parametrize("lived", lives(LIFE, slow=(7, 8, 10, 11)), indirect=True, ids="life {}".format)
"""Marks tests that look at each of them."""
