"""The dashboard's web application: its pages, downloads and events."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from totes_dagster.config.platform import Warehouse
from totes_dagster.dashboard.filters import Filters
from totes_dagster.dashboard.reading import StateReader, read_pages
from totes_dagster.dashboard.rendering import Rendered, as_csv, rendered
from totes_dagster.dashboard.results import LOOK_SECONDS, Key, Results
from totes_dagster.dashboard.scripts import MEDIA_TYPES, asset
from totes_dagster.dashboard.security import LOCAL_HOSTS, Guard
from totes_dagster.dashboard.shell import document, message
from totes_dagster.dashboard.site import PAGES
from totes_dagster.dashboard.viewers import Viewers
from totes_dagster.errors import FilterError, TotesError

ALIVE = "/alive"
"""What says that the server answers, without reading the warehouse: for health checks, under any host name."""


class Served:
    """Where things are on the server, for a page with these filters.

    Args:
        filters: the page's filters.
        path: what all addresses begin with, see `Dashboard`.
    """

    def __init__(self, filters: Filters = Filters(), path: str = "") -> None:  # noqa: B008 - immutable
        self._query = filters.query()
        self._path = path

    def page(self, name: str) -> str:
        """Another page, with the same filters."""
        return f"{self._path}/{name}{self._query}"

    def page_without_filters(self, name: str) -> str:
        """A page without filters."""
        return f"{self._path}/{name}"

    def download(self, page: str, question: str) -> str:
        """The answer to a question as CSV."""
        return f"{self._path}/{page}/{question}.csv{self._query}"

    def asset(self, name: str) -> str:
        """A style sheet or script."""
        return f"{self._path}/assets/{name}"


class Dashboard:
    """The application and what it holds.

    Args:
        warehouse: what it shows.
        now: the current time, UTC.
        path: what all addresses begin with, such as `/dashboard`; empty where the dashboard has a host name to itself.
        hosts: the host names that requests may be for, without a port.

    Attributes:
        app: the ASGI application.
        results: what it has read.
    """

    def __init__(
        self,
        warehouse: Warehouse,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        path: str = "",
        hosts: Iterable[str] = LOCAL_HOSTS,
    ) -> None:
        self._warehouse, self._now, self._path = warehouse, now, path
        self._states = StateReader(warehouse)
        self._loop: asyncio.AbstractEventLoop | None = None
        self.results = Results(self._read, self._states.read, self._announce)
        self._viewers = Viewers(self.results)
        self.app = Starlette(
            routes=[
                *([Route(path, self._root)] if path else []),
                Route(f"{path}/", self._root),
                Route(f"{path}{ALIVE}", self._alive),
                Route(f"{path}/events", self._events),
                Route(f"{path}/assets/{{name}}", self._asset),
                Route(f"{path}/{{page}}", self._page),
                Route(f"{path}/{{page}}/{{question}}.csv", self._download),
            ],
            middleware=[
                Middleware(Guard, hosts=hosts, any_host=f"{path}{ALIVE}"),
                Middleware(GZipMiddleware, minimum_size=1000),
            ],
            exception_handlers={
                FilterError: _handler(HTTPStatus.BAD_REQUEST, "These filters make no sense", path),
                TotesError: _handler(HTTPStatus.SERVICE_UNAVAILABLE, "The warehouse cannot be read", path),
                HTTPException: self._not_found,
            },
            lifespan=self._lifespan,
        )
        # Its redirects name a scheme and a host, and behind a proxy the wrong ones.
        self.app.router.redirect_slashes = False

    async def close_streams(self) -> None:
        """End all event streams, so that the server can stop."""
        await self._viewers.close()

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        self._loop = asyncio.get_running_loop()
        tasks = [asyncio.create_task(self._warm()), asyncio.create_task(self._follow())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._loop = None
            await asyncio.to_thread(self.results.close)
            self._states.close()

    async def _warm(self) -> None:
        """Make what the first viewers need."""
        await asyncio.to_thread(asset, "vega.js")
        for name in PAGES:
            with suppress(TotesError):
                await asyncio.wrap_future(await asyncio.to_thread(self.results.get, Key(name, Filters())))

    async def _follow(self) -> None:
        """Read what viewers look at again when the warehouse changes."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            for key in self._viewers.keys:
                await asyncio.to_thread(self.results.refresh, key)

    def _read(self, key: Key) -> Rendered:
        (data,) = read_pages(self._warehouse, [(PAGES[key.page], key.filters)])
        return rendered(data, Served(key.filters, self._path))

    def _announce(self, _: Key) -> None:
        loop = self._loop
        if loop is not None:
            with suppress(RuntimeError):  # the loop has just been closed
                asyncio.run_coroutine_threadsafe(self._viewers.announce(), loop)

    async def _result(self, key: Key) -> Rendered:
        return await asyncio.wrap_future(await asyncio.to_thread(self.results.get, key))

    async def _root(self, request: Request) -> Response:
        first = next(iter(PAGES))
        query = f"?{request.url.query}" if request.url.query else ""
        return RedirectResponse(f"{self._path}/{first}{query}", HTTPStatus.TEMPORARY_REDIRECT)

    async def _alive(self, _: Request) -> Response:
        return PlainTextResponse("alive\n")

    async def _page(self, request: Request) -> Response:
        key = _key(request)
        given = request.query_params.multi_items()
        addresses = Served(key.filters, self._path)
        if any(not value for _, value in given):  # a form sends empty fields, too
            return RedirectResponse(addresses.page(key.page), HTTPStatus.SEE_OTHER)
        shown = await self._result(key)
        text = document(shown, addresses, self._now(), is_live=True, problem=self.results.problem(key))
        return HTMLResponse(text, headers={"Cache-Control": "no-store"})

    async def _download(self, request: Request) -> Response:
        key, name = _key(request), request.path_params["question"]
        question = next((question for question in PAGES[key.page].questions if question.name == name), None)
        if question is None:
            raise HTTPException(HTTPStatus.NOT_FOUND)
        data = (await self._result(key)).data
        return Response(
            as_csv(question, data.tables[name], key.filters),
            media_type="text/csv",
            headers={
                "Cache-Control": "no-store",
                "Content-Disposition": f'attachment; filename="totes-{key.page}-{name}.csv"',
            },
        )

    async def _events(self, request: Request) -> Response:
        given = request.query_params.multi_items()
        named = dict(given)
        page, version = named.get("page", ""), named.get("version", "")
        if page not in PAGES:
            raise HTTPException(HTTPStatus.NOT_FOUND)
        key = Key(page, Filters.parse((name, value) for name, value in given if name not in {"page", "version"}))
        if request.method == "HEAD":
            return Response(media_type="text/event-stream")
        if self._viewers.is_full():
            return PlainTextResponse("Too many viewers.\n", HTTPStatus.SERVICE_UNAVAILABLE)
        return StreamingResponse(
            self._viewers.events(key, version),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )

    async def _asset(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in MEDIA_TYPES:
            raise HTTPException(HTTPStatus.NOT_FOUND)
        found = await asyncio.to_thread(asset, name)
        headers = {"ETag": f'"{found.version}"', "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
        if request.headers.get("if-none-match") == headers["ETag"]:
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        if "gzip" in request.headers.get("accept-encoding", ""):
            headers["Content-Encoding"] = "gzip"
            return Response(found.compressed, media_type=MEDIA_TYPES[name], headers=headers)
        return Response(found.content, media_type=MEDIA_TYPES[name], headers=headers)

    async def _not_found(self, request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else HTTPStatus.NOT_FOUND
        text = f"There is nothing at {request.url.path}. The pages are above."
        return HTMLResponse(message("No such page", text, Served(path=self._path)), status)


def _key(request: Request) -> Key:
    page = request.path_params["page"]
    if page not in PAGES:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    return Key(page, Filters.parse(request.query_params.multi_items()))


def _handler(status: HTTPStatus, title: str, path: str) -> Any:
    async def answer(_: Request, error: Exception) -> Response:
        may_pass = status is HTTPStatus.SERVICE_UNAVAILABLE
        text = message(title, str(error), Served(path=path), try_again=may_pass)
        return HTMLResponse(text, status, {"Cache-Control": "no-store"})

    return answer
