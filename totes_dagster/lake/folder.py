"""Folders as zones of the lake: a folder is created only to be written to.

Reading and writing the objects in a folder is in `zone.py`.
"""

import os
from errno import ENOTDIR
from pathlib import Path
from urllib.parse import unquote, urlsplit

from obstore.store import LocalStore, MemoryStore, ObjectStore

from totes_dagster.errors import SettingsError, one_line


def open_folder(url: str, *, create: bool = False) -> ObjectStore:
    """Open a folder of the lake.

    Args:
        url: `file:///absolute/folder`.
        create: whether to create the folder if it does not exist, closed to other users.

    Returns:
        The folder, or an empty `MemoryStore` in place of a folder that does not exist.

    Raises:
        SettingsError: the folder cannot be opened or created, or every user of the machine can read it.
    """
    folder = Path(unquote(urlsplit(url).path))
    try:
        if create:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not folder.is_dir():
            _check_can_be_created(folder)
            return MemoryStore()
        if _is_open_to_all(folder):
            raise SettingsError(f"{url} is open to every user of this machine. Close it: chmod o-rwx {folder}")
        return LocalStore(folder)
    except OSError as error:
        raise SettingsError(f"{url} cannot be used as a folder of the lake: {one_line(error)}") from error


def _check_can_be_created(folder: Path) -> None:
    """Raise an OSError if the folder's path, or a parent of it, is not a folder."""
    present = next(path for path in (folder, *folder.parents) if path.exists())
    if not present.is_dir():
        raise NotADirectoryError(ENOTDIR, os.strerror(ENOTDIR), str(present))


def _is_open_to_all(folder: Path) -> bool:
    """Whether any user of the machine can reach a folder and list it, or open the files in it by name."""
    return bool(folder.stat().st_mode & 0o005) and all(parent.stat().st_mode & 0o001 for parent in folder.parents)
