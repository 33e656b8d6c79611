"""Which code a process runs, so that work goes only to workers with the same."""

import hashlib
import sys
from functools import lru_cache
from pathlib import Path

PACKAGE = Path(__file__).parents[1]


@lru_cache(maxsize=1)
def code_digest() -> str:
    """Digest of the platform's modules and of Python's version: 16 hexadecimal digits."""
    digest = hashlib.sha256(f"{sys.version_info[:2]}".encode())
    for module in sorted(PACKAGE.rglob("*.py")):
        digest.update(f"\n{module.relative_to(PACKAGE)}\n".encode())
        digest.update(module.read_bytes())
    return digest.hexdigest()[:16]


def resource() -> str:
    """What a worker with this code offers, and each task asks for: one of it, so that a worker does one at a time."""
    return f"totes-{code_digest()}"
