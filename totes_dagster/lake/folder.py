"""Folders as zones of the lake: opened where they exist, and made only to be written to."""

import os
from errno import ENOTDIR
from pathlib import Path
from urllib.parse import unquote, urlsplit

from obstore.store import LocalStore, MemoryStore, ObjectStore

from totes_dagster.errors import SettingsError, one_line


def open_folder(url: str, *, make: bool = False) -> ObjectStore:
    """Open a folder of the lake.

    Args:
        url: `file:///absolute/folder`.
        make: whether to make the folder, closed to other users, where it does not exist.

    Returns:
        The folder, or an empty `MemoryStore` in place of one that does not exist.

    Raises:
        SettingsError: there is or can be no such folder, or every user of the machine can read it.
    """
    folder = Path(unquote(urlsplit(url).path))
    try:
        if make:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not folder.is_dir():
            _check_may_be_made(folder)
            return MemoryStore()
        if _is_open_to_all(folder):
            raise SettingsError(f"{url} is open to every user of this machine. Close it: chmod o-rwx {folder}")
        return LocalStore(folder)
    except OSError as error:
        raise SettingsError(f"{url} cannot be made a folder of the lake: {one_line(error)}") from error


def _check_may_be_made(folder: Path) -> None:
    """Raise an OSError where something else than a folder is in the way."""
    present = next(path for path in (folder, *folder.parents) if path.exists())
    if not present.is_dir():
        raise NotADirectoryError(ENOTDIR, os.strerror(ENOTDIR), str(present))


def _is_open_to_all(folder: Path) -> bool:
    """Whether any user of the machine can come to a folder and look into it, or open what is in it by name."""
    return bool(folder.stat().st_mode & 0o005) and all(parent.stat().st_mode & 0o001 for parent in folder.parents)
