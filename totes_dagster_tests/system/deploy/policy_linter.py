"""parliament, which lints IAM policies, started such that it finds its own files."""

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

# It asks setuptools where they are, which newer ones do not say any more.
_resources = ModuleType("pkg_resources")
_resources.resource_filename = lambda package, name: str(  # type: ignore[attr-defined]
    Path(sys.modules[package].__file__ or "").parent / name
)
with patch.dict(sys.modules, pkg_resources=_resources):
    from parliament import analyze_policy_string, iam_definition


def findings(policy: dict[str, Any]) -> list[tuple[str, str]]:
    """What the linter finds: the kind of finding, and its detail."""
    found = analyze_policy_string(json.dumps(policy)).findings
    return [(finding.issue, str(finding.detail)) for finding in found]


def known_actions() -> set[str]:
    """All actions that AWS has, as far as the linter knows."""
    return {
        f"{service['prefix']}:{action['privilege']}" for service in iam_definition for action in service["privileges"]
    }
