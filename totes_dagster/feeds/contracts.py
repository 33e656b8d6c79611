"""The contracts of the feeds: what each row of a file must look like.

The JSON Schema of each is published in `docs/feeds/`. Values arrive as JSON has them, or as text from CSV.
"""

import datetime
import re
from decimal import Decimal
from typing import Annotated, Any, ClassVar

from pydantic import (
    AfterValidator,
    AliasChoices,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
)

_ISO_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_ISO_MONTH = re.compile(r"\d{4}-\d\d", re.ASCII)
_ISO_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d([.,]\d{1,6})?)?(Z|[+-]\d\d:?\d\d)", re.ASCII)
_WHOLE_NUMBER = re.compile(r"-?\d{1,20}", re.ASCII)
_DECIMAL = re.compile(r"-?\d{1,40}(\.\d{1,40})?([eE][+-]?\d{1,2})?", re.ASCII)
_CODE = re.compile(r"[A-Z]{3}", re.ASCII)


def _whole_number(value: object) -> object:
    # pydantic would take true for 1, 3.0 for 3, and " 3_0 " for 30.
    if type(value) is int or (isinstance(value, str) and _WHOLE_NUMBER.fullmatch(value)):
        return int(value)
    raise ValueError("give a whole number")


def _decimal(value: object) -> object:
    if type(value) in (int, Decimal) or (isinstance(value, str) and _DECIMAL.fullmatch(value)):
        return Decimal(str(value))
    raise ValueError("give a number")


def _text_like(pattern: re.Pattern[str], example: str) -> BeforeValidator:
    def check(value: object) -> object:
        # pydantic would take seconds since 1970, too.
        if isinstance(value, str) and pattern.fullmatch(value):
            return value
        raise ValueError(f"give text like {example}")

    return BeforeValidator(check)


def _first_of_month(value: object) -> object:
    if isinstance(value, str) and _ISO_MONTH.fullmatch(value):
        return f"{value}-01"
    if isinstance(value, str) and _ISO_DATE.fullmatch(value) and value.endswith("-01"):
        return value
    raise ValueError("give a month, like 2026-11")


def _text(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError("give text")  # noqa: TRY004 - pydantic collects ValueErrors
    if "\x00" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise ValueError("contains a character that PostgreSQL cannot hold")
    return value.strip()


def _in_utc(value: datetime.datetime) -> datetime.datetime:
    try:
        return value.astimezone(datetime.UTC)
    except OverflowError:
        raise ValueError("give a moment that is in the years 1 to 9999 of UTC, too") from None


def _no_rate(value: object) -> object:
    return None if value is None or (isinstance(value, str) and value.lower() in {"", "nan"}) else _decimal(value)


def _nothing(value: object) -> object:
    return None if value == "" else value


BASE = "EUR"
"""The currency that all exchange rates are for one unit of."""

INT4 = 2**31 - 1

_DAY: dict[str, Any] = {"type": "string", "format": "date"}
_WHOLE = {"type": ["integer", "string"], "minimum": 1, "maximum": INT4, "pattern": "^0*[1-9][0-9]*$"}
_AMOUNT = {"type": ["number", "string"], "minimum": 0, "pattern": "^[0-9]+([.][0-9]+)?$"}
_RATE = {"type": ["number", "string", "null"], "exclusiveMinimum": 0, "pattern": "^(NaN|[0-9]+([.][0-9]+)?)?$"}
_MONTH = {"type": "string", "pattern": "^[0-9]{4}-(0[1-9]|1[0-2])(-01)?$"}
_QUOTE = {"type": "string", "pattern": "^[A-Z]{3}$", "not": {"const": BASE}}

Day = Annotated[datetime.date, _text_like(_ISO_DATE, "2026-11-29"), WithJsonSchema(_DAY)]
Key = Annotated[int, Field(ge=1, le=INT4), BeforeValidator(_whole_number), WithJsonSchema(_WHOLE)]
Count = Key


class FeedRow(BaseModel):
    """A row of a feed's file.

    Attributes:
        whole: whether one row that breaks the contract, or contradicts another, makes the whole file useless.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", str_max_length=1_000)

    whole: ClassVar[bool] = False

    def is_nothing(self) -> bool:
        """Whether the row says that there is nothing to say, and is left out."""
        return False


class ExchangeRate(FeedRow):
    """A rate of one currency on one day, as the European Central Bank and Frankfurter give it."""

    # A provider may say more of a rate. If one of them is wrong, none can be trusted.
    model_config = ConfigDict(extra="ignore")
    whole: ClassVar[bool] = True

    quote_code: Annotated[str, _text_like(_CODE, "USD"), WithJsonSchema(_QUOTE)] = Field(
        validation_alias=AliasChoices("CURRENCY", "quote"), description="ISO 4217 code of the currency."
    )
    base_code: Annotated[str, _text_like(_CODE, "EUR"), WithJsonSchema({"const": BASE})] = Field(
        validation_alias=AliasChoices("CURRENCY_DENOM", "base"), description="EUR."
    )
    rate_date: Day = Field(validation_alias=AliasChoices("TIME_PERIOD", "date"), description="Day of the rate.")
    rate: Annotated[Decimal | None, BeforeValidator(_no_rate), WithJsonSchema(_RATE)] = Field(
        validation_alias=AliasChoices("OBS_VALUE", "rate"),
        gt=0,
        max_digits=18,
        decimal_places=8,
        description="Units of the currency for one euro; empty or NaN on a day without a rate.",
    )

    @model_validator(mode="after")
    def _is_of_the_euro(self) -> "ExchangeRate":
        if self.base_code != BASE:
            raise ValueError(f"the base is {self.base_code}, not {BASE}")
        if self.quote_code == BASE:
            raise ValueError(f"a rate of {BASE} in {BASE} is none")
        return self

    def is_nothing(self) -> bool:
        """Whether it is a day without a rate."""
        return self.rate is None


class Shipment(FeedRow):
    """A delivery to a customer."""

    sales_order_id: Key = Field(description="Number of the sales order.")
    delivered_at: Annotated[
        AwareDatetime,
        _text_like(_ISO_MOMENT, "2026-11-29T15:04:05Z"),
        AfterValidator(_in_utc),
        WithJsonSchema({"type": "string", "format": "date-time"}),
    ] = Field(description="When it was delivered, with its offset from UTC.")
    units: Count = Field(description="Number of bags delivered.")


class SalesTarget(FeedRow):
    """What a department is to sell in a month."""

    month: Annotated[datetime.date, BeforeValidator(_first_of_month), WithJsonSchema(_MONTH)] = Field(
        description="The month, like 2026-11."
    )
    department: Annotated[str, Field(min_length=1, max_length=200), BeforeValidator(_text)] = Field(
        description="Name of the department, as in the table department of totesys."
    )
    amount_gbp: Annotated[
        Decimal, Field(ge=0, max_digits=14, decimal_places=2), BeforeValidator(_decimal), WithJsonSchema(_AMOUNT)
    ] = Field(description="Net sales aimed at, in pounds sterling.")
    decided_on: Annotated[
        Day | None, BeforeValidator(_nothing), WithJsonSchema({"anyOf": [_DAY, {"enum": ["", None]}]})
    ] = Field(default=None, description="Day on which it was decided: of two targets, the one decided later holds.")


def json_schema_of(contract: type[FeedRow]) -> dict[str, Any]:
    """The JSON Schema of a contract's rows, in which a column has each of its names.

    The feed takes every row that is valid, if its numbers have no more digits than the warehouse's columns, and whole
    numbers are written without a fraction. Numbers may be text, as all values of CSV are.
    """
    described = contract.model_json_schema(by_alias=False)
    names = {name: sorted(_names_of(name, field.validation_alias)) for name, field in contract.model_fields.items()}
    required = [names[name] for name, field in contract.model_fields.items() if field.is_required()]
    several = [{"anyOf": [{"required": [each]} for each in choices]} for choices in required if len(choices) > 1]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": described["title"],
        "description": described["description"].partition("\n")[0],
        "type": "object",
        "properties": {
            each: {key: value for key, value in described["properties"][name].items() if key != "title"}
            for name, choices in names.items()
            for each in choices
        },
        "required": [choices[0] for choices in required if len(choices) == 1],
        **({"allOf": several} if several else {}),
        "additionalProperties": contract.model_config.get("extra") != "forbid",
    }


def missing_columns(contract: type[FeedRow], given: set[str]) -> list[str]:
    """The required columns of a contract that are not among those given, each by its names."""
    return [
        " or ".join(sorted(names))
        for name, field in contract.model_fields.items()
        if field.is_required() and not (names := _names_of(name, field.validation_alias)) & given
    ]


def unknown_columns(contract: type[FeedRow], given: set[str]) -> list[str]:
    """The columns given that a contract does not have, unless it ignores them."""
    if contract.model_config.get("extra") == "ignore":
        return []
    known = set().union(*(_names_of(name, field.validation_alias) for name, field in contract.model_fields.items()))
    return sorted(given - known)


def _names_of(name: str, alias: Any) -> set[str]:
    return {str(choice) for choice in alias.choices} if isinstance(alias, AliasChoices) else {name}
