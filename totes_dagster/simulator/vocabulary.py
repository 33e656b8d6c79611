"""The simulated company's vocabulary: invented people, places, firms and designs, as values of rows.

Each function depends only on its arguments, so that the same generator in the same state returns the same values. Keys,
timestamps and references between rows belong to `company` and to the modules of the actions.
"""

import unicodedata
from datetime import date, timedelta
from random import Random


def _words(listed: str) -> tuple[str, ...]:
    return tuple(listed.split(", "))


_FIRST_NAMES = _words(
    "Abigail, Adaeze, Aino, Alasdair, Amara, Anaïs, André, Beatrix, Björn, Bronwyn, Callum, Chloé, Cormac, Daniela, "
    "Dimitri, Eilidh, Elif, Esmé, Farid, Fatima, Felix, Freya, Gareth, Giulia, Hamish, Hanako, Idris, Imogen, Ines, "
    "Jasper, José, Jun, Kamala, Kwame, Lachlan, Leila, Lucía, Maeve, Magnus, Marta, Mei, Milo, Nadia, Niamh, Noor, "
    "Olamide, Oskar, Petra, Priya, Quentin, Rafał, Ravi, Rhiannon, Rosalind, Saoirse, Seán, Siân, Søren, Tamsin, "
    "Tariq, Theo, Uma, Vivek, Wanda, Xavier, Yara, Yusuf, Zoë, Žofie"
)
_LAST_NAMES = _words(
    "Abernethy, Achebe, Ashdown, Bannerjee, Beaumont, Blythe, Brânză, Carmichael, Castellanos, Chaudhry, Coppersmith, "
    "D'Angelo, D'Souza, de la Cruz, Dunmore, Eriksson, Fairweather, Fitzwilliam, Galloway, García-Núñez, Goodfellow, "
    "Hargreaves, Hollingsworth, Ibáñez, Iqbal, Jankowski, Kaplan, Kovač, Lindqvist, Lockwood, Łukasik, MacAllister, "
    "Marchetti, Mason, Mbeki, Merriweather, Nakamura, Nightingale, O'Brien, O'Shaughnessy, Okonkwo, Østergård, "
    "Papadopoulos, Pemberton, Quigley, Rasmussen, Rosenthal, Saint-Clair, Sepúlveda, Stonebridge, Tavares, "
    "Thistlewood, Uchida, Vanderbilt, van der Meer, Weatherby, Whitcombe, Zielińska, Şahin"
)
_STREETS = _words(
    "Acacia, Basin, Bridge, Canal, Castle, Chapel, Cherry, Church, Clement's, Cooper's, Dock, Elm, Fountain, Garden, "
    "Granary, Harbour, Heron, Juniper, King's, Lantern, Linden, Market, Meadow, Mill, Mulberry, Orchard, Paper, "
    "Quarry, Queen's, Ropewalk, Saffron, Station, Tanner's, Thimble, Victoria, Weaver's, Willow, Windmill"
)
_STREET_KINDS = ("Street", "Road", "Lane", "Avenue", "Row", "Close", "Way", "Quay")
_SECOND_LINES = ("Unit 4", "Second floor", "Suite 12b", "The Old Mill", "c/o Reception", "Building “C”", "Dock 7")
# Town, district, first half of a postal code, country, telephone code. Long, accented and quoted names on purpose.
_TOWNS = (
    ("Bristol", "Avon", "BS1", "United Kingdom", "+44 117"),
    ("Leeds", "West Yorkshire", "LS2", "United Kingdom", "+44 113"),
    ("Bishop's Stortford", "Hertfordshire", "CM23", "United Kingdom", "+44 1279"),
    ("Dundee", None, "DD1", "United Kingdom", "+44 1382"),
    ("Cork", "Munster", "T12", "Ireland", "+353 21"),
    ("Saint-Étienne", "Loire", "42000", "France", "+33 4"),
    ("L'Haÿ-les-Roses", "Val-de-Marne", "94240", "France", "+33 1"),
    ("Düsseldorf", None, "40210", "Germany", "+49 211"),
    ("Łódź", None, "90-001", "Poland", "+48 42"),
    ("Porto", "Norte", "4000", "Portugal", "+351 22"),
    ("'s-Hertogenbosch", "Noord-Brabant", "5211", "Netherlands", "+31 73"),
    ("A Coruña", "Galicia", "15001", "Spain", "+34 981"),
    ("Malmö", "Skåne", "211 10", "Sweden", "+46 40"),
    ("Reykjavík", None, "101", "Iceland", "+354"),
    ("Thessaloniki", "Macedonia", "546 21", "Greece", "+30 231"),
    ("İzmir", "Konak", "35250", "Türkiye", "+90 232"),
    ("Portland", "Oregon", "97201", "United States", "+1 503"),
    ("Saint Paul", "Minnesota", "55101", "United States", "+1 651"),
    ("Trois-Rivières", "Québec", "G9A", "Canada", "+1 819"),
    ("São Paulo", "São Paulo", "01000", "Brazil", "+55 11"),
    ("Abidjan", None, "01 BP", "Côte d'Ivoire", "+225"),
    ("Mekelle", "Tigray", "1000", "Ethiopia", "+251 34"),
    ("Ahmedabad", "Gujarat", "380001", "India", "+91 79"),
    ("Kanazawa", "Ishikawa", "920-0001", "Japan", "+81 76"),
    ("臺北", "Zhongzheng", "100", "Taiwan", "+886 2"),
    ("Stanley", None, "FIQQ", "South Georgia and the South Sandwich Islands", "+500"),
)
_FIRM_KINDS = ("Ltd", "plc", "Group", "GmbH", "S.A.", "Trading", "Brothers", "& Daughters", "& Sons", "Co-operative")
_TRADES = ("Bags", "Books", "Canvas", "Grocers", "Gifts", "Museum Shops", "Textiles", "Wholesale")
_COLOURS = _words(
    "Amber, Cobalt, Coral, Crimson, Ecru, Emerald, Indigo, Ivory, Jade, Marigold, Ochre, Saffron, Scarlet, Teal, Umber"
)
_MOTIFS = _words(
    "Acorn, Bicycle, Compass, Fern, Fox, Gingham, Herringbone, Lighthouse, Moth, Paisley, Sparrow, Stripe, Tide, Wave"
)
_SEASONS = ("spring", "summer", "autumn", "winter", "évergreen")
_LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"
_CODE_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"

CURRENCIES = ("GBP", "USD", "EUR")
"""ISO 4217 codes of the currencies that the company trades in from the start."""
FURTHER_CURRENCIES = ("SEK", "CHF", "JPY", "CAD", "AUD", "NOK", "DKK", "PLN")
"""ISO 4217 codes of the currencies that it may add later."""

# Name, location, manager. Field Service has no town: the one location that is NULL.
DEPARTMENTS: tuple[tuple[str, str | None, str | None], ...] = (
    ("Sales", "Bristol", "Rosalind Pemberton"),
    ("Procurement", "Bristol", "Kwame Okonkwo"),
    ("Print Workshop", "Leeds", "Seán O'Brien"),
    ("Dispatch", "Leeds", "Marta Zielińska"),
    ("Accounts", "Dundee", None),
    ("Design Studio", "Porto", "Anaïs Beaumont"),
    ("Field Service", None, "Idris Lockwood"),
    ("People", "Bristol", ""),
)
DEPARTMENT_NAMES = (*(name for name, *_ in DEPARTMENTS), "Fulfilment", "Finance", "Client Relations", "R&D")
"""Names that a department may be given."""
TOWNS = tuple(dict.fromkeys(town for town, *_ in _TOWNS))
"""Towns that a department may move to."""


def generator(*seeds: int | str) -> Random:
    """A random generator that depends only on its seeds."""
    return Random("/".join(map(str, seeds)))  # a simulation  # noqa: S311  # nosec B311


def text_code(rng: Random, length: int, letters: str = _CODE_LETTERS) -> str:
    """A random code like those that suppliers give to their items."""
    return "".join(rng.choices(letters, k=length))


def person(rng: Random) -> tuple[str, str]:
    """A first and a last name."""
    return rng.choice(_FIRST_NAMES), rng.choice(_LAST_NAMES)


def email_address(first_name: str, last_name: str) -> str:
    """A work address in plain ASCII that keeps apostrophes: they are legal, and break careless quoting."""
    spelled = f"{first_name}.{last_name}".casefold().translate(str.maketrans("łø", "lo", " "))
    plain = unicodedata.normalize("NFKD", spelled).encode("ascii", "ignore").decode()
    return f"{plain}@totes.example"


def address(rng: Random) -> dict[str, str | None]:
    """Values of an address, without its key and timestamps. Optional lines are often NULL and sometimes empty."""
    town, district, postal_code, country, telephone = rng.choice(_TOWNS)
    second_line = rng.choice(_SECOND_LINES) if rng.random() < 0.3 else None  # noqa: PLR2004
    return {
        "address_line_1": f"{rng.randint(1, 399)} {rng.choice(_STREETS)} {rng.choice(_STREET_KINDS)}",
        "address_line_2": "" if rng.random() < 0.1 else second_line,  # noqa: PLR2004
        "district": district if rng.random() < 0.8 else None,  # noqa: PLR2004
        "city": town,
        "postal_code": f"{postal_code} {rng.randint(1, 9)}{text_code(rng, 2)}",
        "country": country,
        "phone": f"{telephone} {rng.randint(100_000, 999_999)}",
    }


def counterparty(rng: Random) -> dict[str, str | None]:
    """Values of a counterparty, without its key, address and timestamps."""
    names = (
        f"{rng.choice(_LAST_NAMES)} {rng.choice(_FIRM_KINDS)}",
        f"{rng.choice(_LAST_NAMES)} {rng.choice(_TRADES)} {rng.choice(_FIRM_KINDS)}",
        f"{rng.choice(_STREETS)} {rng.choice(_TRADES)}, {rng.choice(_TOWNS)[0]}",
    )
    contacts = (" ".join(person(rng)), " ".join(person(rng)), None, "")
    return {
        "counterparty_legal_name": rng.choice(names),
        "commercial_contact": rng.choices(contacts, weights=(6, 2, 1, 1))[0],
        "delivery_contact": rng.choices(contacts, weights=(2, 6, 1, 1))[0],
    }


def design(rng: Random, latest: date) -> dict[str, str]:
    """Values of a design created in the year up to `latest`, without its key and timestamps."""
    name = f"{rng.choice(_COLOURS)} {rng.choice(_MOTIFS)}"
    drawn = latest - timedelta(days=rng.randint(0, 365))
    slug = name.casefold().replace(" ", "-")
    return {
        "design_name": name,
        "file_location": f"/artwork/{drawn:%Y}/{rng.choice(_SEASONS)}",
        "file_name": f"{slug}-{drawn:%Y%m%d}-{text_code(rng, 4, _LETTERS)}.svg",
    }


def staff(rng: Random) -> dict[str, str]:
    """Values of a member of staff, without key, department and timestamps."""
    first_name, last_name = person(rng)
    return {
        "first_name": first_name,
        "last_name": last_name,
        "email_address": email_address(first_name, last_name),
    }


def account_number(counterparty_id: int) -> int:
    """An account number of eight digits, always the same for a counterparty; the company's own is that of 0."""
    return 10_000_000 + (counterparty_id * 48_271 + 31_337) * 16_807 % 89_999_999
