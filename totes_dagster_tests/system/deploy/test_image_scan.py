"""An image with a vulnerability that is not accepted is not deployed, whatever the scan says, or does not."""

import json
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from totes_dagster_tests.system.deploy.aws_cli import IMAGE, SCRIPTS, Aws

pytestmark = pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")

INDEX = {
    "mediaType": "application/vnd.oci.image.index.v1+json",
    "manifests": [
        {"digest": "sha256:for-amd64", "platform": {"os": "linux", "architecture": "amd64"}},
        {"digest": "sha256:attestation", "platform": {"os": "unknown", "architecture": "unknown"}},
    ],
}


def scanned(
    *findings: dict[str, Any], status: str = "COMPLETE", key: str = "findings", completed: bool = True
) -> dict[str, Any]:
    at = {"imageScanCompletedAt": "2026-01-01T00:00:00Z"} if completed else {}
    return {
        "imageScanStatus": {"status": status, "description": "as it is"},
        "imageScanFindings": {key: findings, **at},
    }


def basic(severity: str, name: str = "CVE-2026-1") -> dict[str, Any]:
    attributes = [{"key": "package_name", "value": "openssl"}, {"key": "package_version", "value": "3.0.1"}]
    return {"name": name, "severity": severity, "attributes": attributes}


def enhanced(severity: str, fix: str) -> dict[str, Any]:
    packages = [{"name": "pyarrow", "version": "1.0"}]
    details = {"vulnerabilityId": "CVE-2026-1", "vulnerablePackages": packages}
    return {"severity": severity, "fixAvailable": fix, "packageVulnerabilityDetails": details}


def day(days: int) -> str:
    return (datetime.now(UTC) + timedelta(days)).date().isoformat()


def accepted(days: int, vulnerability: str = "CVE-2026-1") -> dict[str, str]:
    return {"id": vulnerability, "until": day(days), "reason": "The platform never calls it."}


@pytest.fixture
def aws(aws: Aws) -> Aws:
    aws.answer("batch-get-image", {"images": [{"imageManifest": json.dumps(INDEX)}]})
    return aws


def check(aws: Aws, *entries: Any, **environment: str) -> subprocess.CompletedProcess[str]:
    file = aws.folder / "accepted.json"
    file.write_text(json.dumps(entries))
    return aws.run("check_image.sh", str(file), first=IMAGE, SCAN_POLL_SECONDS="0", **environment)


def test_the_image_of_each_platform_is_waited_for_and_no_attestation(aws: Aws) -> None:
    # Each answer is asked for once.
    aws.answer("describe-image-scan-findings", scanned(status="IN_PROGRESS"), scanned(basic("LOW")))
    done = check(aws)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "Found: 1 LOW.\n"
    asked = [call for call in aws.calls() if "describe-image-scan-findings" in call]
    assert len(asked) == 2
    assert all("imageDigest=sha256:for-amd64" in call for call in asked)


def test_an_image_without_an_index_is_scanned_itself(aws: Aws) -> None:
    aws.answer("batch-get-image", {"images": [{"imageManifest": json.dumps({"config": {}, "layers": []})}]})
    aws.answer("describe-image-scan-findings", scanned())
    done = check(aws)
    assert done.returncode == 0, done.stderr
    assert f"imageDigest={IMAGE.partition('@')[2]}" in aws.calls()[-1]


@pytest.mark.parametrize(
    ("found", "code"),
    [
        (scanned(basic("CRITICAL")), 1),
        (scanned(basic("HIGH")), 0),  # of which basic scanning does not say whether there is a fix
        (scanned(enhanced("CRITICAL", "NO"), key="enhancedFindings", status="ACTIVE"), 1),
        (scanned(enhanced("HIGH", "YES"), key="enhancedFindings", status="ACTIVE"), 1),
        (scanned(enhanced("HIGH", "PARTIAL"), key="enhancedFindings", status="ACTIVE"), 1),
        (scanned(enhanced("HIGH", "NO"), key="enhancedFindings", status="ACTIVE"), 0),
        (scanned(enhanced("MEDIUM", "YES"), key="enhancedFindings", status="ACTIVE"), 0),
    ],
)
def test_what_is_critical_or_high_and_can_be_fixed_is_not_deployed(aws: Aws, found: dict[str, Any], code: int) -> None:
    aws.answer("describe-image-scan-findings", found)
    done = check(aws)
    assert done.returncode == code, done.stderr
    assert (" CVE-2026-1 in " in done.stdout) == (code == 1)


@pytest.mark.parametrize(
    ("entry", "code"),
    [(accepted(0), 0), (accepted(30), 0), (accepted(-1), 1), (accepted(30, "CVE-2026-2"), 1)],
)
def test_what_is_accepted_is_deployed_until_its_date(aws: Aws, entry: dict[str, str], code: int) -> None:
    aws.answer("describe-image-scan-findings", scanned(basic("CRITICAL")))
    assert check(aws, entry).returncode == code


@pytest.mark.parametrize(
    "entry",
    [
        accepted(121),
        {**accepted(30), "until": "soon"},
        {**accepted(30), "reason": ""},
        {**accepted(30), "id": ".*"},
        "CVE-2026-1",
    ],
)
def test_a_list_with_a_mistake_accepts_nothing(aws: Aws, entry: Any) -> None:
    aws.answer("describe-image-scan-findings", scanned())
    done = check(aws, entry)
    assert done.returncode == 1
    assert "each entry needs an id, a reason" in done.stderr


@pytest.mark.parametrize("status", ["FAILED", "UNSUPPORTED_IMAGE"])
def test_what_could_not_be_scanned_is_not_deployed(aws: Aws, status: str) -> None:
    aws.answer("describe-image-scan-findings", scanned(status=status))
    done = check(aws)
    assert done.returncode == 1
    assert f"was not scanned: {status}: as it is" in done.stderr


def test_a_scan_that_goes_on_counts_once_it_was_complete(aws: Aws) -> None:
    aws.answer("describe-image-scan-findings", scanned(status="ACTIVE", completed=False))
    done = check(aws, SCAN_TIMEOUT="0")
    assert done.returncode == 1
    assert "was not scanned in time: ACTIVE" in done.stderr


def test_a_scan_that_the_push_did_not_start_is_started(aws: Aws) -> None:
    program = aws.folder / "aws"
    failing = 'echo "An error occurred (ScanNotFoundException)" >&2; exit 254'
    program.write_text(program.read_text().replace("exit 254", failing))
    done = check(aws, SCAN_TIMEOUT="1")
    assert done.returncode == 1
    assert "was not scanned in time" in done.stderr
    assert sum("start-image-scan" in call for call in aws.calls()) == 1


def test_the_list_of_the_project_is_in_order(aws: Aws) -> None:
    aws.answer("describe-image-scan-findings", scanned())
    done = aws.run("check_image.sh", str(SCRIPTS.parent / "accepted_vulnerabilities.json"), first=IMAGE)
    assert done.returncode == 0, done.stderr
