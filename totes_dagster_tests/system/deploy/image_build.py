"""The image, really built: by buildah, on a minimal Debian that stands in for the base that no registry is asked for.

The stand-in has Debian's own Python 3.11 where the base image has Python's. All else is as the `Dockerfile` says.
"""

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[3]
DOCKERFILE = PROJECT / "Dockerfile"
AUTHORITIES = PROJECT / "deploy" / "image" / "rds-authorities.pem"

_NAME = "localhost/totes_dagster:tested"
_NEEDED = ("buildah", "debootstrap", "unshare")
_PACKAGES = ("ca-certificates", "netbase", "python3-pip", "python3.11-venv", "tzdata")

_OF_THIS_MACHINE = (Path("/etc/pip.conf"), Path("/etc/ssl/certs"))
"""What tells how packages are to be had from here, which the Dockerfile need not know."""

_KEEP_NOTHING = """
APT::Keep-Downloaded-Packages "false";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
"""

_CONTAINER = """
set -e
root=$1 volume=$2
shift 2
mount --bind "$root" "$root"
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
mount --bind "$volume" "$root/var/lib/totes"
mount -o remount,ro,bind "$root"
exec chroot --userspec=10001:10001 --groups= "$root" "$@"
"""
"""Runs a command as a container does whose root file system is read-only, but on this machine's network.

Its mounts are in a namespace of its own, and so are gone when it ends.
"""


class ImageBuildError(Exception):
    """A step of building the image failed; the message holds what it said."""


def what_is_missing() -> str | None:
    """Why no image can be built here; None where it can."""
    if os.geteuid() != 0:
        return "building the image needs root"
    missing = [name for name in _NEEDED if shutil.which(name) is None]
    return f"building the image needs {', '.join(missing)}: apt-get install buildah debootstrap" if missing else None


def base_image() -> str:
    """What the Dockerfile builds on."""
    (name,) = re.findall(r"^FROM (\S+:\S+) AS base$", DOCKERFILE.read_text(), re.MULTILINE)
    return str(name)


@dataclass
class Image:
    """A built image, with one root file system made from it.

    Args:
        root: the root file system.
        config: what Docker keeps of the Dockerfile's last stage, by its own names.
        size: bytes of what comes on top of the base, not compressed.
        seconds: how long each step of building it took.
    """

    root: Path
    config: Mapping[str, Any]
    size: int
    seconds: Mapping[str, float]

    def command(self, volume: Path, *command: str, **environment: str) -> list[str]:
        """A command in a container of this image, as its user and in its environment, with one folder to write to."""
        variables = [*self.config["Env"], *(f"{name}={value}" for name, value in environment.items())]
        return [
            *("unshare", "--mount", "sh", "-c", _CONTAINER, "container", str(self.root), str(volume)),
            *("env", "--ignore-environment", f"--chdir={self.config['WorkingDir']}", *variables, *command),
        ]

    def run(self, volume: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end; all that it says is `stdout`."""
        return subprocess.run(
            self.command(volume, *command, **environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=120,
        )


@dataclass
class ImageBuild:
    """A folder in which an image is built; all that buildah keeps is in it, and goes with it."""

    folder: Path
    seconds: dict[str, float] = field(default_factory=dict)

    def image(self, revision: str) -> Image:
        """Build the image, and make a root file system from it.

        Raises:
            ImageBuildError: a step failed.
        """
        self._make_base()
        settings = [f"--volume={path}:{path}:ro" for path in _OF_THIS_MACHINE if path.exists()]
        self._timed(
            "the image",
            *self._buildah,
            *("build", "--isolation=chroot", "--network=host", "--pull-never", "--format=docker", *settings),
            *(f"--build-arg=REVISION={revision}", f"--tag={_NAME}", str(PROJECT)),
        )
        container = self._call(*self._buildah, "from", "--pull-never", _NAME)
        inspected = json.loads(self._call(*self._buildah, "inspect", "--type=image", _NAME))
        return Image(
            root=Path(self._call(*self._buildah, "mount", container)),
            config=inspected["Docker"]["config"],
            size=self._size(_NAME) - self._size(base_image()),
            seconds=self.seconds,
        )

    def _make_base(self) -> None:
        root = self.folder / "base"
        install = ("debootstrap", "--variant=minbase", f"--include={','.join(_PACKAGES)}", "bookworm", str(root))
        self._timed("its stand-in for the base", "unshare", "--mount", *install)
        for name, program in {"python": "python3.11", "python3": "python3.11", "pip": "pip3"}.items():
            (root / "usr/local/bin" / name).symlink_to(f"/usr/bin/{program}")
        # Debian's own Python takes packages from Debian only; the base image's has no such rule.
        (root / "usr/lib/python3.11/EXTERNALLY-MANAGED").unlink()
        # As in Debian's own images: what apt downloads and computes is not kept.
        (root / "etc/apt/apt.conf.d/keep-nothing").write_text(_KEEP_NOTHING)
        container = self._call(*self._buildah, "from", "scratch")
        self._call(*self._buildah, "copy", container, str(root), "/")
        path = "PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
        self._call(*self._buildah, "config", f"--env={path}", container)
        self._call(*self._buildah, "commit", "--rm", container, f"docker.io/library/{base_image()}")

    @cached_property
    def _buildah(self) -> tuple[str, ...]:
        # The one driver that works in any file system, without a kernel's help.
        where = (f"--root={self.folder / 'storage'}", f"--runroot={self.folder / 'run'}")
        return ("buildah", "--storage-driver=vfs", *where)

    def _timed(self, what: str, *command: str) -> None:
        started = time.perf_counter()
        self._call(*command)
        self.seconds[what] = time.perf_counter() - started

    def _call(self, *command: str) -> str:
        environment = {**os.environ, "TMPDIR": str(self.folder)}
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, env=environment
        )
        if done.returncode:
            said = (done.stdout + done.stderr)[-4000:]
            raise ImageBuildError(f"{' '.join(command)} failed with {done.returncode}:\n{said}")
        return done.stdout.strip()

    def _size(self, image: str) -> int:
        (listed,) = json.loads(self._call(*self._buildah, "images", "--json", image))
        number, unit = listed["size"].split()
        return round(float(number) * {"KB": 1e3, "MB": 1e6, "GB": 1e9}[unit])
