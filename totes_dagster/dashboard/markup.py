"""HTML that is put together of elements, so that no text can become markup."""

from collections.abc import Iterable
from html import escape
from typing import Any


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


_VOID = {"meta", "link", "input", "br"}


def element(name: str, /, *content: Any, **attributes: Any) -> Html:
    """An element with its content.

    Args:
        name: its name.
        content: text, which is escaped, elements, or lists of these; None is left out.
        attributes: its attributes; one that is None or False is left out, True gives one without a value. An underscore
            at the end of a name is dropped, others become hyphens.
    """
    written = "".join(_attribute(key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items())
    if name in _VOID:
        return Html(f"<{name}{written}>")
    return Html(f"<{name}{written}>{joined(content)}</{name}>")


def joined(content: Iterable[Any]) -> Html:
    """Several pieces of content after one another; see `element`."""
    return Html("".join(_piece(piece) for piece in content))


def _piece(piece: Any) -> str:
    if piece is None:
        return ""
    if isinstance(piece, Html):
        return piece
    if isinstance(piece, list | tuple):
        return joined(piece)
    return escape(str(piece))


def _attribute(name: str, value: Any) -> str:
    if value is None or value is False:
        return ""
    return f" {name}" if value is True else f' {name}="{escape(str(value))}"'
