"""Packs the function for Lambda: `make lambda`.

Terraform cannot make a zip without another provider, so it is in the repository. The same source always makes the same
bytes, and a test compares them. Nothing is compressed, because zlib's output depends on its version.
"""

from pathlib import Path
from zipfile import ZIP_STORED, ZipFile, ZipInfo

HERE = Path(__file__).parent
SOURCE = HERE / "function" / "exchange_rates.py"
PACKAGE = HERE / "function.zip"


def write(package: Path) -> None:
    """Write the package."""
    entry = ZipInfo(SOURCE.name)  # of 1980
    entry.create_system = 3  # Unix, on every system
    entry.external_attr = 0o100644 << 16  # Lambda runs as another user, who has to be able to read it
    with ZipFile(package, "w", ZIP_STORED) as archive:
        archive.writestr(entry, SOURCE.read_bytes())


if __name__ == "__main__":
    write(PACKAGE)
