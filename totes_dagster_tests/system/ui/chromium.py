"""The browser: the Chromium of this machine, without a window. It works as root and not, and leaves nothing behind."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")

HOW_TO_INSTALL = (
    "There is no Chromium to look at Dagster's UI with. Install it (`apt-get install chromium`), or say where it is: "
    "CHROMIUM=/path/to/chromium."
)

_FLAGS = [
    "--no-sandbox",  # root has none
    "--disable-gpu",
    # Nothing but the UI is to be asked for anything.
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def find_chromium() -> str | None:
    """Path of the browser: what `CHROMIUM` says, or the first that PATH knows."""
    named = os.environ.get("CHROMIUM")
    if named:
        return shutil.which(named)
    return next((path for name in NAMES if (path := shutil.which(name))), None)


@contextmanager
def chromium(path: str) -> Iterator[Browser]:
    """A browser that runs for as long as the block, with a new profile of its own."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=_FLAGS)
        try:
            yield browser
        finally:
            browser.close()
