"""Commands of Terraform, on a copy of the project, with a provider that is on the machine already if one is."""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

TERRAFORM = Path(__file__).parents[1]

_HERE = {
    "provider": {"aws": {"s3_use_path_style": True}},  # names of buckets are no hosts of the emulator's
}
"""What overrides the connection to AWS, and nothing else. What is applied is the project's own."""


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
        # Every command reads the provider's whole schema, and a quarter of its time is collecting the garbage of that.
        "GOGC": "400",
    }


def without_installing(settings: Mapping[str, str], initialised: Path) -> dict[str, str]:
    """Settings with which a module's own tests need no `init`: the provider is the one that another folder has.

    Each command would otherwise take the checksum of its 700 MB.

    Args:
        settings: settings of Terraform.
        initialised: a folder that `init` was run in with these; its own are kept there.
    """
    (provider,) = (initialised / ".terraform" / "providers").glob("registry.terraform.io/hashicorp/aws/*/*")
    configuration = initialised / "overriding.rc"
    configuration.write_text(
        f'provider_installation {{\n  dev_overrides {{\n    "hashicorp/aws" = "{provider.resolve()}"\n  }}\n}}\n'
    )
    return {**settings, "TF_CLI_CONFIG_FILE": str(configuration)}


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
        done = subprocess.run(
            ["terraform", f"-chdir={self.folder}", *arguments],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        if done.returncode:
            raise TerraformError(f"terraform {' '.join(arguments)}: {done.stderr or done.stdout[-5_000:]}")
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
