"""Working ahead: the next item is computed while the current one is used."""

from collections.abc import Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

_END = object()


def ahead(items: Iterable[T]) -> Generator[T]:
    """The items, each computed in another thread while the one before is used.

    Two items exist at a time. If computing one raises, so does taking it. If the items are not used up, the one that is
    being computed is waited for.
    """
    iterator = iter(items)
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, iterator, _END)
        while (item := coming.result()) is not _END:
            coming = pool.submit(next, iterator, _END)
            yield item  # type: ignore[misc]  # it is not the end
