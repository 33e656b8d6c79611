"""Containers of task definitions, run on this machine as ECS would run them: their commands, environments and secrets.

What differs is named here: where the image's files are, where databases are and that they have no TLS, where the code
server and the scheduler are, and where AWS is.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from totes_dagster.local.programs import program
from totes_dagster.runtime.processes import die_with_parent
from totes_dagster_tests.ports import free_port

PROJECT = Path(__file__).parents[2]


class Image:
    """The image, as far as its containers see it.

    Args:
        folder: a new folder that stands for what the image has.
        emulator: what points at AWS.

    Attributes:
        dashboard_port: where the dashboard listens.
        scheduler_port: where the scheduler of workers listens.
    """

    def __init__(self, folder: Path, emulator: Mapping[str, str]) -> None:
        self.home = folder / "dagster"
        self.home.mkdir()
        for name in ("dagster.yaml", "workspace.yaml"):
            shutil.copy(PROJECT / "deploy" / name, self.home)
        self._scratch = folder / "scratch"
        self._scratch.mkdir()
        self.logs = folder / "logs"
        self.logs.mkdir()
        self._emulator = emulator
        ports = [str(free_port()) for _ in range(4)]
        self._code_server_port, self._webserver_port, self.dashboard_port, self.scheduler_port = ports

    def environment(self, container: Mapping[str, Any], secrets: Any) -> dict[str, str]:
        """What a container finds in its environment: what its definition says, and the secrets that it names."""
        given = {entry["name"]: entry["value"] for entry in container["environment"]}
        given |= {secret["name"]: _value(secret["valueFrom"], secrets) for secret in container["secrets"]}
        programs = [sysconfig.get_path("scripts"), str(program("psql").parent), os.environ["PATH"]]
        here = {
            "PATH": ":".join(programs),
            "HOME": str(self._scratch),
            "TMPDIR": str(self._scratch),
            "DAGSTER_HOME": str(self.home),
            "DAGSTER_CODE_SERVER_HOST": "127.0.0.1",
            "DAGSTER_CODE_SERVER_PORT": self._code_server_port,
            "PGSSLMODE": "disable",
            "PYTHONUNBUFFERED": "1",
        }
        # By the access key, the emulator tells who asks.
        return {**given, **here, **self._emulator, "AWS_ACCESS_KEY_ID": container["name"]}

    def command(self, command: Sequence[str]) -> list[str]:
        """A command, with the places of this machine for those of the image."""
        places = {
            "/opt/dagster/workspace.yaml": str(self.home / "workspace.yaml"),
            "/opt/totes/roles": str(PROJECT / "deploy" / "roles"),
            "4000": self._code_server_port,
            "0.0.0.0": "127.0.0.1",
            "3000": self._webserver_port,
            "3001": self.dashboard_port,
            "8786": self.scheduler_port,
            "tls://scheduler.totes-dev.internal:8786": f"tls://127.0.0.1:{self.scheduler_port}",
        }
        found = [
            places.get(word, word)
            .replace(":3000/", f":{self._webserver_port}/")
            .replace(":3001/", f":{self.dashboard_port}/")
            for word in command
        ]
        return [str(Path(sysconfig.get_path("scripts"), found[0])), *found[1:]]

    def run(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> int:
        """Run a container to its end, and return its exit code; what it prints is in its log."""
        with (self.logs / name).open("ab") as log:
            return subprocess.run(
                self.command(command), env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False
            ).returncode

    def said(self, name: str) -> str:
        """What a container has printed."""
        return (self.logs / name).read_text()

    def listens(self, name: str) -> bool:
        """Whether a service accepts connections, if it ever does; this costs less than its check."""
        ports = {"code-server": self._code_server_port, "webserver": self._webserver_port}
        if name not in ports:
            return True
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", int(ports[name]))) == 0

    def is_healthy(self, container: Mapping[str, Any], environment: Mapping[str, str]) -> bool:
        """Whether a container is healthy, by the check of its definition."""
        how, *command = container["healthCheck"]["command"]
        assert how == "CMD"
        return self.run(f"{container['name']}-health", command, environment) == 0

    @contextmanager
    def running(self, container: Mapping[str, Any], environment: Mapping[str, str]) -> Iterator[None]:
        """A container that runs until the block ends, and is stopped as ECS stops it: it must end within its time."""
        name, command, stop_timeout = container["name"], container["command"], container["stopTimeout"]
        with (self.logs / name).open("ab") as log:
            process = subprocess.Popen(
                self.command(command),
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent(signal.SIGTERM),  # noqa: PLW1509 - it only makes a system call
            )
            try:
                yield
                assert process.poll() is None, f"{name} ended: {self.said(name)[-3_000:]}"
            finally:
                process.terminate()
                try:
                    process.wait(stop_timeout)
                finally:
                    process.kill()
                    process.wait()


def _value(source: str, secrets: Any) -> str:
    """The value of `ARN:key::`, which ECS looks up in Secrets Manager."""
    arn, _, key = source.removesuffix("::").rpartition(":")
    value: str = json.loads(secrets.get_secret_value(SecretId=arn)["SecretString"])[key]
    return value
