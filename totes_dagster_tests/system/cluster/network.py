"""Machines with a network of their own: network namespaces of this one, which are plugged into one bridge."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import pytest

LEADER = "10.77.41.1"
"""The address of this machine, in the network with the others."""

_BRIDGE = "totes-test"


@dataclass(frozen=True)
class Machine:
    """A machine: a name, and a cable to the bridge."""

    name: str
    cable: str

    @property
    def prefix(self) -> list[str]:
        """What a command line begins with that runs on this machine, under its name."""
        named = ["unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"', self.name]
        return ["ip", "netns", "exec", self.name, *named]

    def unplug(self) -> None:
        """Pull the cable."""
        _run("ip", "link", "set", self.cable, "down")

    def plug(self) -> None:
        """Put it in again."""
        _run("ip", "link", "set", self.cable, "up")


@contextmanager
def network(*names: str) -> Iterator[list[Machine]]:
    """Machines of these names, gone at the end; skips the test, aloud, where there can be none."""
    if os.geteuid() != 0 or shutil.which("ip") is None or shutil.which("unshare") is None:
        pytest.skip("Only root can make network namespaces, with ip and unshare.")
    machines = [Machine(name, f"totes{number}") for number, name in enumerate(names)]
    try:
        try:
            _run("ip", "link", "add", _BRIDGE, "type", "bridge")
            _run("ip", "address", "add", f"{LEADER}/24", "dev", _BRIDGE)
            _run("ip", "link", "set", _BRIDGE, "up")
            for number, machine in enumerate(machines):
                _make(machine, f"10.77.41.{number + 2}")
        except subprocess.CalledProcessError as error:
            pytest.skip(f"Network namespaces cannot be made here: {error.stderr.decode().strip()}")
        yield machines
    finally:
        for machine in machines:
            with suppress(subprocess.CalledProcessError):
                _run("ip", "netns", "del", machine.name)
        with suppress(subprocess.CalledProcessError):
            _run("ip", "link", "del", _BRIDGE)


def _make(machine: Machine, address: str) -> None:
    inside = ["ip", "-n", machine.name]
    _run("ip", "netns", "add", machine.name)
    _run("ip", "link", "add", machine.cable, "type", "veth", "peer", "name", "eth0", "netns", machine.name)
    _run("ip", "link", "set", machine.cable, "master", _BRIDGE, "up")
    _run(*inside, "address", "add", f"{address}/24", "dev", "eth0")
    for device in ("lo", "eth0"):
        _run(*inside, "link", "set", device, "up")


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
