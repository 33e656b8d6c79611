"""Commands of Terraform, on a copy of the project, with a provider that is on the machine already if one is."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from totes_dagster.runtime.processes import die_with_parent

TERRAFORM = Path(__file__).parents[1]

_HERE = {
    "provider": {"aws": {"s3_use_path_style": True}},  # names of buckets are no hosts of the emulator's
}
"""What overrides the connection to AWS, and nothing else. What is applied is the project's own."""

_GARBAGE = {"GOGC": "400"}
"""Seldom collect garbage: every command reads the provider's whole schema, and lives no longer than that takes."""

_START_WITHIN = 60  # seconds


class TerraformError(Exception):
    """A command of Terraform's failed; the message is what it said."""


def copied(folder: Path) -> Path:
    """A copy of all of the project's Terraform, without what commands have left in it."""
    return Path(
        shutil.copytree(
            TERRAFORM, folder / "terraform", ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*", "__pycache__")
        )
    )


def settings(folder: Path) -> dict[str, str]:
    """Terraform's own settings: where the provider comes from, and where it is kept between commands.

    A folder `tf-plugins` at the top of the machine's file system is taken for a mirror of the registry.
    """
    configuration = folder / "terraform.rc"
    mirrors = [Path(given) for given in [os.environ.get("TF_PLUGIN_MIRROR", "")] if given]
    mirrors += sorted(Path("/").glob("*/tf-plugins"))
    if mirrors:
        configuration.write_text(f'provider_installation {{\n  filesystem_mirror {{ path = "{mirrors[0]}" }}\n}}\n')
    else:
        cache = folder / "plugins"
        cache.mkdir()
        configuration.write_text(f'plugin_cache_dir = "{cache}"\nplugin_cache_may_break_dependency_lock_file = true\n')
    return {
        "TF_CLI_CONFIG_FILE": str(configuration),
        "TF_IN_AUTOMATION": "1",
        "TF_INPUT": "0",
        "CHECKPOINT_DISABLE": "1",
        **_GARBAGE,
    }


@contextmanager
def provider_at_work(initialised: Path, log: Path) -> Iterator[dict[str, str]]:
    """The provider of AWS, started once for many commands; yields settings by which they find it.

    Else each run of a test would start it, and each command take the checksum of its 700 MB first. A folder whose
    commands get these settings need not be initialised.

    Args:
        initialised: a folder that `init` was run in, which has got the provider.
        log: where the provider writes.
    """
    found = (initialised / ".terraform" / "providers").glob("registry.terraform.io/hashicorp/aws/*/*/*provider*")
    (program,) = found
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "TF_"))}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [program, "-debug"],
            env=environment | _GARBAGE,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            preexec_fn=die_with_parent(signal.SIGTERM),  # noqa: PLW1509 - it only makes a system call
        )
    try:
        deadline = time.monotonic() + _START_WITHIN
        while not (said := re.search("TF_REATTACH_PROVIDERS='(.+)'\n", log.read_text())):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, "the provider does not start"
            time.sleep(0.1)
        yield {"TF_REATTACH_PROVIDERS": said[1]}
    finally:
        process.terminate()
        process.wait()


class Root:
    """A folder that Terraform is run in.

    Args:
        folder: it; a copy.
        environment: what its commands see besides this process's environment, but for anything of AWS there.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "TF_"))}
        self._environment = {**kept, **environment}

    def run(self, *arguments: str) -> str:
        """Run a command to its end, and return what it printed.

        Raises:
            TerraformError: it failed.
        """
        return self.program("terraform", *arguments)

    def program(self, program: str | Path, *arguments: str, **environment: str) -> str:
        """Run a program in the folder, such as a script that calls Terraform there, and return what it printed.

        Raises:
            TerraformError: it failed.
        """
        done = subprocess.run(
            [program, *arguments],
            cwd=self.folder,
            env={**self._environment, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        if done.returncode:
            raise TerraformError(f"{program} {' '.join(arguments)}: {done.stderr or done.stdout[-5_000:]}")
        return done.stdout

    def connect(self, variables: Mapping[str, Any], backend: Sequence[str] = ()) -> None:
        """Point it at the emulator, give it its variables, and initialise it."""
        (self.folder / "emulator_override.tf.json").write_text(json.dumps(_HERE))
        (self.folder / "emulator.auto.tfvars.json").write_text(json.dumps(variables))
        self.run("init", "-no-color", *(f"-backend-config={option}" for option in backend))

    def apply(self) -> None:
        """Apply it all."""
        self.run("apply", "-no-color", "-auto-approve")

    def outputs(self) -> dict[str, Any]:
        """Its outputs."""
        return {name: output["value"] for name, output in json.loads(self.run("output", "-json")).items()}

    def state(self) -> str:
        """Its state, whole."""
        return self.run("state", "pull")

    def plan(self) -> dict[str, Any]:
        """What another apply would do, as `terraform show -json` says it."""
        self.run("plan", "-no-color", "-out=again.tfplan")
        plan: dict[str, Any] = json.loads(self.run("show", "-json", "again.tfplan"))
        return plan

    def destroy(self) -> None:
        """Destroy it all."""
        self.run("destroy", "-no-color", "-auto-approve")
