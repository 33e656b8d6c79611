"""The file `.env` of the working folder: read before the environment is used, and exactly as Dagster reads it.

Dagster's commands, and the processes that they start, read it themselves with the same library. The file overrides the
environment: if two readers disagreed about that, they would work on different databases.
"""

import os
from collections.abc import MutableMapping
from pathlib import Path

from dotenv import dotenv_values

from totes_dagster.errors import SettingsError

ALREADY_READ = "TOTES_ENV_FILE_IS_READ"
"""Set for the processes of `totes dev`, which use what it found in the file and must not read it again."""


def read_env_file(folder: Path, environment: MutableMapping[str, str] = os.environ) -> list[str]:
    """Copy the variables of a folder's file `.env`, if there is one, into the environment.

    Args:
        folder: the folder of the file.
        environment: the variables to set.

    Returns:
        The names of the variables that had another value before.

    Raises:
        SettingsError: the file cannot be read.
    """
    path = folder / ".env"
    try:
        found = {name: value for name, value in dotenv_values(path).items() if value is not None}
        replaced = [name for name, value in found.items() if environment.get(name, value) != value]
        environment.update(found)
    except (OSError, ValueError) as error:  # the latter quotes bytes that are not UTF-8, and may be secret
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text."
        raise SettingsError(f"The settings in {path} cannot be read: {reason}") from None
    return replaced
