"""The log of batches: numbered without a gap, each committed once, found in few looks."""

import hashlib

import pytest

from totes_dagster.errors import ManifestDamagedError, ManifestMissingError
from totes_dagster.lake.batch_log import BatchLog, manifest_path
from totes_dagster.lake.zone import Zone
from totes_dagster_tests.integration.lake.conftest import Damage
from totes_dagster_tests.unit.manifests import MANIFEST


def commit(log: BatchLog, *batches: int) -> None:
    for batch in batches:
        assert log.commit(MANIFEST.model_copy(update={"batch": batch}))


def test_a_new_log_has_no_batch(zone: Zone) -> None:
    log = BatchLog(zone)
    assert log.head() == 0
    assert not log.has(1)


def test_a_log_is_read_by_number(zone: Zone) -> None:
    commit(BatchLog(zone), *range(1, 8))
    log = BatchLog(zone)
    assert log.head() == 7
    assert [log.manifest(batch).batch for batch in range(1, 8)] == [1, 2, 3, 4, 5, 6, 7]


def test_a_log_sees_what_another_commits_later(zone: Zone) -> None:
    mine, other = BatchLog(zone), BatchLog(zone)
    commit(mine, 1)
    assert mine.head() == 1
    commit(other, 2, 3)
    assert mine.head() == 3


def test_a_number_is_committed_once(zone: Zone) -> None:
    commit(BatchLog(zone), 1)
    other = MANIFEST.model_copy(update={"snapshot": MANIFEST.snapshot.model_copy(update={"xmin": 8})})
    assert not BatchLog(zone).commit(other)
    assert BatchLog(zone).manifest(1) == MANIFEST


def test_committing_the_very_same_again_is_no_conflict(zone: Zone) -> None:
    """It is what an ingest sees whose commit was not answered: only its own manifest names its parts."""
    commit(BatchLog(zone), 1)
    assert BatchLog(zone).commit(MANIFEST)


def test_the_digest_is_that_of_the_objects_bytes(zone: Zone) -> None:
    commit(BatchLog(zone), 1)
    content = zone.read("batches/0000000001.json")
    assert content is not None
    assert BatchLog(zone).digest(1) == hashlib.sha256(content).hexdigest()


def test_a_missing_manifest_is_named(zone: Zone) -> None:
    with pytest.raises(ManifestMissingError, match=r"batches/0000000005\.json is missing from"):
        BatchLog(zone).manifest(5)


def test_a_damaged_manifest_is_named(zone: Zone, damage: Damage) -> None:
    commit(BatchLog(zone), 1)
    damage(manifest_path(1), MANIFEST.to_json()[:-20])
    with pytest.raises(ManifestDamagedError, match=r"batches/0000000001\.json is damaged"):
        BatchLog(zone).manifest(1)


def test_a_manifest_under_another_batchs_number_is_refused(zone: Zone, damage: Damage) -> None:
    commit(BatchLog(zone), 1, 2)
    damage(manifest_path(2), MANIFEST.to_json())
    with pytest.raises(ManifestDamagedError, match=r"batches/0000000002\.json in .* says it is batch 1\."):
        BatchLog(zone).manifest(2)


@pytest.mark.parametrize("lost", [1, 3, 7])
def test_a_lost_batch_is_not_taken_for_the_next_one(zone: Zone, lost: int) -> None:
    """These are the ones that the search for the newest asks for."""
    log = BatchLog(zone)
    commit(log, *(batch for batch in range(1, lost + 3) if batch != lost))
    assert log.head() == lost - 1
    with pytest.raises(ManifestMissingError, match=manifest_path(lost)):
        BatchLog(zone).check_head_is_last(lost - 1)


def test_a_log_without_a_gap_is_continued_also_while_others_commit(zone: Zone) -> None:
    log = BatchLog(zone)
    log.check_head_is_last(0)
    commit(log, 1, 2, 3)
    for head in (0, 1, 2, 3):
        log.check_head_is_last(head)
