"""A stand-in for the AWS CLI, which answers the scripts of the deployment as AWS does.

No emulator of ECS ends its tasks by itself, and none scans an image.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

SCRIPTS = Path(__file__).parents[3] / ".github" / "scripts"
DEPLOY = Path(__file__).parents[3] / "deploy"

IMAGE = "123456789012.dkr.ecr.eu-west-2.amazonaws.com/totes_dagster@sha256:" + "a" * 64
TASK = "arn:aws:ecs:eu-west-2:123456789012:task/totes-dev/0123456789abcdef"
OUTPUTS = {
    "cluster": "totes-dev",
    "private_subnet_ids": ["subnet-1", "subnet-2"],
    "task_security_group_ids": {"run": "sg-1", "provision": "sg-2"},
    "run_task_definition": "arn:aws:ecs:eu-west-2:123456789012:task-definition/totes-dev-run:3",
    "log_group_names": {"run": "/totes-dev/run"},
    "service_names": ["totes-dev-daemon", "totes-dev-webserver"],
}


ANSWERING = """
printf "%s\\n" "$*" >> calls
answers=("$2".[0-9])
if [ ! -e "${answers[0]}" ]; then exit 254; fi
cat "${answers[0]}"
if [ -e "${answers[1]}" ]; then rm "${answers[0]}"; fi
"""


class Aws:
    """Answers by the subcommand, the last one again and again; remembers what it was asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.answers = folder / "answers"
        self.answers.mkdir()
        program = folder / "aws"
        program.write_text(f"#!/usr/bin/env bash\ncd {self.answers}\n{ANSWERING}")
        program.chmod(0o755)
        outputs = {name: {"value": value} for name, value in OUTPUTS.items()}
        (folder / "outputs.json").write_text(json.dumps(outputs))

    def answer(self, subcommand: str, *answers: dict[str, Any]) -> None:
        for index, answer in enumerate(answers):
            (self.answers / f"{subcommand}.{index}").write_text(json.dumps(answer))

    def calls(self) -> list[str]:
        return (self.answers / "calls").read_text().splitlines()

    def run(
        self, script: str, *arguments: str, first: str = "", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        environment = {
            **os.environ,
            "PATH": f"{self.folder}:{os.environ['PATH']}",
            "TASK_POLL_SECONDS": "0",
            **environment,
        }
        command = [
            str((DEPLOY if script == "restore_drill.sh" else SCRIPTS) / script),
            first or str(self.folder / "outputs.json"),
            *arguments,
        ]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=30)


def stopped(**container: Any) -> dict[str, Any]:
    return {
        "tasks": [{"lastStatus": "STOPPED", "stoppedReason": "Ended", "containers": [{"name": "run", **container}]}]
    }
