"""What pages load besides themselves: the style sheet, our script, and Vega-Lite's, which is made if need be."""

import gzip
from functools import cache
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable
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
    """An asset by its name. Making `vega.js` takes a few seconds once in a process, unless it was installed.

    Raises:
        KeyError: there is no such asset.
    """
    if name not in MEDIA_TYPES:
        raise KeyError(name)
    content = _vega() if name == "vega.js" and not is_installed(name) else _file(name).read_bytes()
    return Asset(content, gzip.compress(content, 6), sha256(content).hexdigest()[:16])


_GLOBALS = "window.vegaEmbed = vegaEmbed;"
"""What of the bundle our script uses."""


def is_installed(name: str) -> bool:
    """Whether an asset is a file of the package. `vega.js` is one in the container image, which cannot make it."""
    return _file(name).is_file()


def _file(name: str) -> Traversable:
    return files("totes_dagster.dashboard").joinpath("static", name)


def _vega() -> bytes:
    """Vega, Vega-Lite and Vega-Embed, with the interpreter of expressions, which needs no `eval`."""
    import altair  # noqa: PLC0415 - imports a lot
    import vl_convert  # noqa: PLC0415

    version = ".".join(altair.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
    return vl_convert.javascript_bundle(_GLOBALS, version).encode()
