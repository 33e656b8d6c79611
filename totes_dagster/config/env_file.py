"""The file `.env` of the working folder: read before anything looks at the environment, and exactly as Dagster does.

Dagster's commands read it themselves, with the same library, and so do the processes that they start. What the file
sets counts, also where the environment says otherwise: a second reader with another opinion would work on other
databases than the first.
"""

import os
from collections.abc import MutableMapping
from pathlib import Path

from dotenv import dotenv_values

from totes_dagster.errors import SettingsError

ALREADY_READ = "TOTES_ENV_FILE_IS_READ"
"""Set for the processes of `totes dev`, which are to work with what it found in the file, and not to read it again."""


def read_env_file(folder: Path, environment: MutableMapping[str, str] = os.environ) -> list[str]:
    """Set the variables that the file `.env` of a folder sets, if there is one.

    Returns:
        The names of the variables that had another value in the environment before.

    Raises:
        SettingsError: the file cannot be read.
    """
    path = folder / ".env"
    try:
        found = {name: value for name, value in dotenv_values(path).items() if value is not None}
        replaced = [name for name, value in found.items() if environment.get(name, value) != value]
        environment.update(found)
    except (OSError, ValueError) as error:  # the latter of bytes that are no UTF-8, and not to be shown
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text."
        raise SettingsError(f"The settings in {path} cannot be read: {reason}") from None
    return replaced
