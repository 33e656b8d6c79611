"""The worked examples of `docs/extending.md` on a copy of the package, and what one sees when a step is forgotten."""

import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

import totes_dagster
from totes_dagster.schema.dimensions import dim_counterparty
from totes_dagster.schema.star import remodel_version_of
from totes_dagster.warehouse.migrations import HEAD
from totes_dagster_tests.world import World

PACKAGE = Path(totes_dagster.__file__).parent
TEXT = (PACKAGE.parent / "docs" / "extending.md").read_text()
DECLARATION, FUNCTION, MIGRATION, *_ = (
    textwrap.dedent(block) for block in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
)

VERSION = remodel_version_of(dim_counterparty)
VERSIONED = re.compile(r"    version=\d+,\n")
NEXT = f"{int(HEAD) + 1:04}"


@dataclass(frozen=True)
class Copy:
    """A copy of the package, whose commands work on a world."""

    folder: Path
    world: World

    def edit(self, file: str, old: str, new: str) -> None:
        path = self.folder / "totes_dagster" / file
        text = path.read_text()
        assert text.count(old) == 1, (file, old)
        path.write_text(text.replace(old, new))

    def edit_counterparty(self, change: Callable[[str], str]) -> None:
        """Change the declaration of dim_counterparty, which is given without its last line."""
        path = self.folder / "totes_dagster" / "schema/dimensions.py"
        text = path.read_text()
        start = text.index("\ndim_counterparty = dimension(")
        end = text.index("\n)\n", start) + 1
        path.write_text(text[:start] + change(text[start:end]) + text[end:])

    def add(self, file: str, text: str) -> None:
        (self.folder / "totes_dagster" / file).write_text(text)

    def append(self, file: str, text: str) -> None:
        path = self.folder / "totes_dagster" / file
        path.write_text(path.read_text() + text)

    def totes(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        platform = self.world.platform
        settings = {
            "TOTESYS_URL": platform.source.url,
            "WAREHOUSE_URL": platform.warehouse.database.url,
            "WAREHOUSE_SCHEMA": platform.warehouse.schema,
            "TOTES_INGESTION_LAKE": platform.lake.ingestion.url,
            "TOTES_PROCESSED_LAKE": platform.lake.processed.url,
        }
        return subprocess.run(
            [sys.executable, "-m", "totes_dagster.cli.commands", *arguments],
            env={**os.environ, **settings, "PYTHONPATH": str(self.folder)},
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def copy(tmp_path: Path, company: World) -> Copy:
    folder = tmp_path / "copy"
    shutil.copytree(PACKAGE, folder / "totes_dagster")  # and what is compiled: it stays valid
    return Copy(folder, company)


def declare(copy: Copy) -> None:
    column = DECLARATION.partition("    version=")[0]

    def with_column(declaration: str) -> str:
        return VERSIONED.sub("", declaration) + column + "".join(VERSIONED.findall(declaration))

    copy.edit_counterparty(with_column)


def raise_version(copy: Copy) -> None:
    copy.edit_counterparty(lambda declaration: VERSIONED.sub("", declaration) + f"    version={VERSION + 1},\n")


def compute(copy: Copy) -> None:
    assert '"commercial_contact"]]' in FUNCTION
    text = (copy.folder / "totes_dagster" / "remodel/tables/dimensions.py").read_text()
    (line,) = re.findall(rf"^    {FUNCTION.partition(' =')[0]} = .*$", text, re.MULTILINE)
    copy.edit("remodel/tables/dimensions.py", line, line.replace("]]", ', "commercial_contact"]]'))


def migration(statement: str = "") -> str:
    """The migration of the example, or one with another statement, as the next revision."""
    assert f'\nrevision = "{NEXT}"\ndown_revision = "{HEAD}"\n' in MIGRATION
    return re.sub(r"alter table [^\"]+", statement, MIGRATION) if statement else MIGRATION


def migrate(copy: Copy) -> None:
    copy.add(f"warehouse/migrations/versions/{NEXT}_commercial_contact.py", migration())


STEPS: dict[str, Callable[[Copy], None]] = {
    "declaration": declare,
    "version": raise_version,
    "function": compute,
    "migration": migrate,
}


def take(copy: Copy, *, but: str = "") -> None:
    for name, step in STEPS.items():
        if name != but:
            step(copy)


@pytest.mark.slow
def test_a_column_is_filled_by_a_reconciliation(copy: Copy) -> None:
    copy.world.change("update counterparty set commercial_contact = 'Ada' where counterparty_id = 1")
    copy.world.refresh()
    take(copy)
    assert copy.totes("refresh").stdout.startswith("Nothing changed.")
    reconciled = copy.totes("reconcile")
    assert reconciled.returncode == 0, reconciled.stderr
    assert "repaired by batch" in reconciled.stdout
    assert copy.world.ask_one("select commercial_contact from dim_counterparty where counterparty_id = 1") == "Ada"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("step", "seen"),
    [
        ("function", "column 'commercial_contact' not in dataframe"),
        ("migration", 'ColumnMissingError: Loading the warehouse failed: column "commercial_contact" '),
    ],
)
def test_a_forgotten_step_stops_the_refresh_by_name(copy: Copy, step: str, seen: str) -> None:
    copy.world.change("update counterparty set commercial_contact = 'Ada' where counterparty_id = 1")
    take(copy, but=step)
    refreshed = copy.totes("refresh")
    assert refreshed.returncode == 1
    assert seen in refreshed.stderr
    STEPS[step](copy)
    assert copy.totes("refresh").returncode == 0
    assert copy.world.ask_one("select commercial_contact from dim_counterparty where counterparty_id = 1") == "Ada"


@pytest.mark.slow
def test_a_forgotten_version_shows_when_the_warehouse_is_rebuilt(copy: Copy) -> None:
    take(copy, but="version")
    assert copy.totes("refresh").returncode == 0
    rebuilt = copy.totes("rebuild", "--yes")
    assert rebuilt.returncode == 1
    assert (
        f"PartSchemaError: The part dim_counterparty/v{VERSION}/batch=0000000001/part-00000.parquet does not"
        in rebuilt.stderr
    )
    STEPS["version"](copy)
    again = copy.totes("rebuild", "--yes")
    assert again.returncode == 0, again.stderr


def test_a_table_is_declared_and_computed_and_listed_nowhere(copy: Copy) -> None:
    copy.world.change(
        "create table example_rating (example_rating_id int primary key, grade text not null, "
        "created_at timestamp(3) not null default now(), last_updated timestamp(3) not null)",
        "insert into example_rating values (1, 'good', now(), now()), (2, 'poor', now(), now())",
    )
    assert copy.totes("refresh").returncode == 0
    copy.edit(
        "schema/totesys.py",
        "\nSOURCE_TABLES: dict[str, Table]",
        '\nexample_rating = _table(\n    "example_rating",\n    Capture.WHOLE,\n    "Ratings. One row per rating.",\n'
        '    _key("example_rating_id", "Number of the rating."),\n'
        '    _column("grade", Text(), "Its grade."),\n    *_stamps(),\n)\n\nSOURCE_TABLES: dict[str, Table]',
    )
    copy.append(
        "schema/dimensions.py",
        '\ndim_example_rating = dimension(\n    "dim_example_rating",\n    "Ratings. One row per rating.",\n'
        '    dimension_key("rating_id", Integer(), "Number of the rating.", "example_rating.example_rating_id"),\n'
        '    column("grade", String(), "Its grade.", "example_rating.grade"),\n)\n',
    )
    copy.add(
        f"warehouse/migrations/versions/{NEXT}_example_rating.py",
        migration(
            "create table if not exists dim_example_rating (rating_id integer not null, grade varchar not null, "
            "constraint dim_example_rating_pkey primary key (rating_id))"
        ),
    )
    forgotten = copy.totes("refresh")
    assert forgotten.returncode == 1
    assert "No function computes dim_example_rating: add one of that name" in forgotten.stderr
    copy.append(
        "remodel/tables/dimensions.py",
        '\n\ndef dim_example_rating(example_rating: pd.DataFrame) -> pd.DataFrame:\n    """One row per rating."""\n'
        '    return example_rating.rename(columns={"example_rating_id": "rating_id"})[["rating_id", "grade"]]\n',
    )
    refreshed = copy.totes("refresh")
    assert refreshed.returncode == 0, refreshed.stderr
    assert copy.world.ask("select * from dim_example_rating order by 1") == [(1, "good"), (2, "poor")]
