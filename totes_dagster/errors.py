"""The platform's errors: a small family, each saying what happened, to which thing, and what to do next."""


class TotesError(Exception):
    """Base of everything the platform raises on purpose; its message is one that a person can act on."""


class SettingsError(TotesError):
    """The platform's settings are missing, contradict one another, or cannot be read."""


class DatabaseError(TotesError):
    """A database could not be reached, refused the platform, or broke off."""


class SourceSchemaError(TotesError):
    """The source's tables are not what the declaration says, or hold a value that their declared type cannot."""


class WarehouseSchemaError(TotesError):
    """The warehouse's tables are not what the declaration says."""


class LakeError(TotesError):
    """The lake could not be reached, or refused the platform."""


class ManifestError(TotesError):
    """A batch's manifest is damaged, or of a format that this version does not know."""


class PartError(TotesError):
    """A part is damaged, or of another schema than its table's."""


class PartMissingError(PartError):
    """A part is missing."""


class InvalidRowsError(TotesError):
    """Rows of a batch cannot become rows of the star schemas."""


class BatchConflictError(TotesError):
    """Other ingests kept winning the next batch number."""


class ForeignLakeError(TotesError):
    """The warehouse was loaded from another lake than the one configured."""
