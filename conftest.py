"""What every run of tests begins with."""

import signal


def pytest_configure() -> None:
    # A shell that starts us in the background has SIGINT ignored. Children would inherit that, and Dagster, which takes
    # SIGTERM for SIGINT, could then be stopped by neither.
    signal.signal(signal.SIGINT, signal.default_int_handler)
