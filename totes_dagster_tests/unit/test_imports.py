"""What is slow to import is imported where it is used: a refresh with nothing to do needs none of it."""

import subprocess
import sys

LATE = ("alembic", "babel", "boto3", "dagster", "pandas", "pandera", "pyarrow.dataset")


def test_the_stages_bring_nothing_that_only_their_work_needs() -> None:
    look = f"import sys, totes_dagster.pipeline; print([name for name in {LATE} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
