"""All pages of the dashboard, in the order of the navigation."""

from totes_dagster.dashboard.pages import health, history, payments, purchases, sales
from totes_dagster.dashboard.question import Page

PAGES: dict[str, Page] = {
    page.name: page for page in (sales.PAGE, purchases.PAGE, payments.PAGE, history.PAGE, health.PAGE)
}
"""The pages by name. The first one is shown at the root address."""
