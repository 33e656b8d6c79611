"""Writes the dashboard as static pages, which a browser opens from a disk."""

from datetime import UTC, datetime
from pathlib import Path

from totes_dagster.config.platform import Warehouse
from totes_dagster.dashboard.filters import Filters
from totes_dagster.dashboard.reading import read_pages
from totes_dagster.dashboard.rendering import as_csv, rendered
from totes_dagster.dashboard.scripts import MEDIA_TYPES, asset
from totes_dagster.dashboard.shell import document
from totes_dagster.dashboard.site import PAGES
from totes_dagster.errors import DashboardError


class Exported:
    """Where things are in the folder, as each of its pages refers to them."""

    def page(self, name: str) -> str:
        """Another page, with the same filters."""
        return f"{name}.html"

    def page_without_filters(self, name: str) -> str:
        """A page without filters."""
        return f"{name}.html"

    def download(self, page: str, question: str) -> str:
        """The answer to a question as CSV."""
        return f"data/{page}/{question}.csv"

    def asset(self, name: str) -> str:
        """A style sheet or script."""
        return f"assets/{name}"


def export(warehouse: Warehouse, folder: Path, filters: Filters) -> Path:
    """Write all pages, with their data and scripts, and return the path of the first page.

    All pages are read in one transaction, so none disagrees with another. Files of an earlier export are replaced.

    Args:
        warehouse: what the pages show.
        folder: where they are written; it is created if it does not exist.
        filters: the filters of all pages.

    Raises:
        DashboardError: the folder cannot be written.
        DatabaseError: the warehouse cannot be read.
    """
    now, addresses = datetime.now(UTC), Exported()
    files: dict[str, bytes] = {f"assets/{name}": asset(name).content for name in MEDIA_TYPES}
    for data in read_pages(warehouse, [(page, filters) for page in PAGES.values()]):
        page = data.page
        text = document(rendered(data, addresses), addresses, now, is_live=False)
        files[f"{page.name}.html"] = text.encode()
        for question in page.questions:
            csv = as_csv(question, data.tables[question.name], filters)
            files[addresses.download(page.name, question.name)] = csv.encode()
    try:
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    except OSError as error:
        raise DashboardError(f"The export cannot be written to {folder}: {error.strerror}.") from error
    return folder / f"{next(iter(PAGES))}.html"
