"""What pages load besides themselves: the style sheet, our script, and Vega-Lite's, which is made when it is needed."""

import gzip
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import NamedTuple

MEDIA_TYPES = {"dashboard.css": "text/css", "dashboard.js": "text/javascript", "vega.js": "text/javascript"}
"""The media types of all assets by their names."""


class Asset(NamedTuple):
    """A file that pages load: its bytes, the same compressed, and a name for this version of it."""

    content: bytes
    compressed: bytes
    version: str


@cache
def asset(name: str) -> Asset:
    """An asset by its name. Making `vega.js` takes a few seconds once in a process.

    Raises:
        KeyError: there is no such asset.
    """
    if name not in MEDIA_TYPES:
        raise KeyError(name)
    content = _vega() if name == "vega.js" else _file(name)
    return Asset(content, gzip.compress(content, 6), sha256(content).hexdigest()[:16])


_GLOBALS = "window.vegaEmbed = vegaEmbed;"
"""What of the bundle our script uses."""


def _file(name: str) -> bytes:
    return files("totes_dagster.dashboard").joinpath("static", name).read_bytes()


def _vega() -> bytes:
    """Vega, Vega-Lite and Vega-Embed, with the interpreter of expressions, which needs no `eval`."""
    import altair  # noqa: PLC0415 - imports a lot
    import vl_convert  # noqa: PLC0415

    version = ".".join(altair.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
    return vl_convert.javascript_bundle(_GLOBALS, version).encode()
