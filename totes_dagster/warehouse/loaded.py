"""What a load did."""

from dataclasses import asdict, dataclass, field

from totes_dagster.remodel.run import Written


@dataclass(frozen=True)
class LoadedTable:
    """What a load did to one star table, in rows.

    Rows `ingested` are either `quarantined` or `staged`. Staged rows are `new`, `changed` or, if they equal what the
    warehouse shows already, `unchanged`. `deleted` counts versions which record that a row is gone from the source;
    `placeholders`, members added for references to rows that the source does not have. The calendar is computed, and
    has no ingested rows.
    """

    ingested: int = 0
    quarantined: int = 0
    staged: int = 0
    new: int = 0
    changed: int = 0
    deleted: int = 0
    placeholders: int = 0

    @property
    def unchanged(self) -> int:
        """Staged rows that changed nothing."""
        return self.staged - self.new - self.changed

    @property
    def has_changes(self) -> bool:
        """Whether the table differs from before."""
        return bool(self.new or self.changed or self.deleted or self.placeholders)

    def __add__(self, other: "LoadedTable") -> "LoadedTable":
        return LoadedTable(**{name: count + getattr(other, name) for name, count in vars(self).items()})

    def counts(self) -> dict[str, int]:
        """All counts, by name."""
        return {**asdict(self), "unchanged": self.unchanged}


@dataclass(frozen=True)
class LoadedBatch:
    """What the load of one batch did, by star table.

    Attributes:
        batch: the batch's number.
        tables: what was done to each table.
        filled: the facts that were empty before.
        remodelled: what the processed zone lacked, and the load wrote there.
        seconds: how long each table took.
    """

    batch: int
    tables: dict[str, LoadedTable]
    filled: tuple[str, ...] = ()
    remodelled: dict[str, Written] = field(default_factory=dict, compare=False)
    seconds: dict[str, float] = field(default_factory=dict, compare=False)
