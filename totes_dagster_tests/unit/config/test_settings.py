"""Settings: all of them, none, or a refusal that names what is missing."""

import itertools

import pytest

from totes_dagster.config.settings import is_configured, retry_seconds
from totes_dagster.errors import SettingsError
from totes_dagster_tests.settings import ALL, SECRETS


def test_any_set_of_settings_is_complete_empty_or_refused_by_what_it_lacks() -> None:
    names = [*ALL, *SECRETS]
    for chosen in itertools.chain.from_iterable(itertools.combinations(names, size) for size in range(len(names) + 1)):
        environment = {name: (ALL | SECRETS)[name] for name in chosen}
        lacking = [name for name in ALL if name not in chosen and name.replace("_URL", "_SECRET_ID") not in chosen]
        if not lacking:
            assert is_configured(environment)
        elif not chosen:
            assert not is_configured(environment)
        else:
            with pytest.raises(SettingsError) as refused:
                is_configured(environment)
            for name in ALL:
                assert (name in str(refused.value)) == (name in lacking)
            assert "s3cret" not in str(refused.value)


def test_other_variables_and_empty_ones_say_nothing() -> None:
    assert not is_configured(
        {"PATH": "/bin", "WAREHOUSE_SCHEMA": "analytics", "TOTES_HOME": "/tmp", **dict.fromkeys(ALL, "")}
    )


@pytest.mark.parametrize(("given", "seconds"), [({}, 25.0), ({"TOTES_RETRY_SECONDS": ""}, 25.0)])
def test_the_usual_patience_holds_unless_another_is_asked_for(given: dict[str, str], seconds: float) -> None:
    assert retry_seconds(default=25.0, environment=given) == seconds
    assert retry_seconds(default=25.0, environment={"TOTES_RETRY_SECONDS": "0"}) == 0
    assert retry_seconds(default=25.0, environment={"TOTES_RETRY_SECONDS": "1.5"}) == 1.5


@pytest.mark.parametrize("given", ["-1", "soon", "nan", "inf", "1s"])
def test_a_patience_that_is_no_number_of_seconds_is_refused(given: str) -> None:
    with pytest.raises(SettingsError, match=f"TOTES_RETRY_SECONDS is '{given}': give a number of seconds"):
        retry_seconds(default=25.0, environment={"TOTES_RETRY_SECONDS": given})
