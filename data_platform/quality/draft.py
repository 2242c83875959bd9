"""Drafts a contract from what is true of a sample file: names, types, rules, key, event time. Text is `draft_text.py`'s.

A draft states what held for every row that was seen; a person has to say which of it is meant.
"""

from __future__ import annotations

import itertools
import keyword
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date

import duckdb
import pandera.ibis as pa

from data_platform.contracts.model import Decimal
from data_platform.contracts.raw import ORIGIN
from data_platform.errors import UsageError
from data_platform.quality.compiler import MAX_RULES
from data_platform.quality.profile import (
    DAYS,
    FEW_VALUES,
    PATTERNS,
    TIMES,
    Facts,
    File,
    identify,
    matches,
    shape_pattern,
)

MOSTLY = 0.98  # of the texts; the others are dirt that a rule will find
ENOUGH_ROWS = 50  # below this no text counts as dirt
ROWS_PER_VALUE = 10
MONEY = frozenset(
    [
        "price",
        "amount",
        "total",
        "cost",
        "fee",
        "revenue",
        "salary",
        "balance",
        "tax",
        "sum",
        "net",
        "gross",
        "discount",
        "paid",
        "due",
        "budget",
    ]
)
ID_WORDS = frozenset(["id", "no", "nr", "num", "number", "code", "key", "uuid", "guid", "ref", "reference", "sku"])
LINE_WORDS = frozenset(["line", "position", "pos", "seq", "sequence", "item", "row", "step"])
PERSONS = frozenset(
    [
        "first",
        "last",
        "full",
        "sur",
        "given",
        "family",
        "maiden",
        "middle",
        "customer",
        "user",
        "contact",
        "recipient",
        "holder",
        "sender",
    ]
)
PII_WORDS = {
    "email": "email mail", "phone": "phone mobile telephone tel fax cell", "iban": "iban", "ip": "ip",
    "name": "firstname lastname fullname surname forename recipient sender",
    "address": "address street addr zip zipcode postcode postal plz", "birth_date": "birth birthday birthdate dob",
    "id_number": "ssn passport", "card": "card pan",
}  # fmt: skip
NO_EVENT = frozenset(
    ["birth", "birthday", "birthdate", "dob", "expiry", "expires", "valid", "until", "due", "end", "deadline"]
)
EVENT = frozenset(
    [
        "at",
        "time",
        "timestamp",
        "occurred",
        "created",
        "ordered",
        "sent",
        "event",
        "booked",
        "placed",
        "updated",
        "modified",
        "date",
        "on",
    ]
)
CHANGED = frozenset(["updated", "modified", "changed"])
TAKEN = frozenset({"column", "dt", "pa", "str", "int", "float", "bool"})  # what a model's own lines name


@dataclass(frozen=True)
class DraftColumn:
    """One column of the draft. `checks` are keyword arguments by name; `notes` become comments."""

    name: str
    facts: Facts
    kind: str = "VARCHAR"
    format: str | None = None
    decimal: Decimal = "."
    pii: str | None = None
    nullable: bool = False
    checks: tuple[tuple[str, object], ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def words(self) -> frozenset[str]:
        return frozenset(self.name.strip("_").split("_"))


@dataclass(frozen=True)
class Draft:
    """A drafted table: what its modules will state."""

    table: str
    source: str
    owner: str
    file: File
    rows: int
    columns: tuple[DraftColumn, ...]
    key: tuple[str, ...] = ()
    scope: str = "table"
    also_unique: tuple[str, ...] = ()
    event_time: str | None = None
    partition: str = "arrival_date"
    start: date | None = None
    notes: tuple[str, ...] = field(default=())


def draft(
    con: duckdb.DuckDBPyConnection, file: File, found: Sequence[Facts], table: str, source: str, owner: str,
    start: date | None = None,
) -> Draft:  # fmt: skip
    """Makes the draft from the facts of the table `sample`; `start` is the first day that a file will be there for."""
    names = _names([fact.source for fact in found])
    columns = tuple(
        _column(con, place, name, fact) for place, (name, fact) in enumerate(zip(names, found, strict=True))
    )
    key, also = _key(con, columns)
    if len(key) == 1:
        columns = tuple(_of_key(column) if column.name in key else column for column in columns)
    event = _event_time(columns)
    scope = "partition" if event and CHANGED & set(event.split("_")) else "table"
    taken = {name.lower() for name in (*names, *file.header)}
    partition = next(name for name in ("arrival_date", "landed_date", "partition_date") if name not in taken)
    notes = ["The header looks like values: is the file without one?"] if _like_values(file.header) else []
    if file.unread:
        notes.append(f"{file.unread} records could not be read: a load sets them aside")
    made = Draft(
        table, source, owner, file, found[0].rows, columns, key, scope, also, event, partition, start, tuple(notes)
    )
    return _fitted(made)


def _like_values(header: Sequence[str]) -> bool:
    return all(re.fullmatch(r"[\d.,:/+\- ]*", name) for name in header)


def _names(headers: Sequence[str]) -> list[str]:
    """Names of columns: lower case with underscores, and none that Python or a model has a use for."""
    made: list[str] = []
    for header in headers:
        if header.lower() in ORIGIN:
            raise UsageError(f"The column `{header}` has a name that raw tables keep for themselves.", fix="rename it")
        latin = unicodedata.normalize("NFKD", header.replace("ß", "ss")).encode("ascii", "ignore").decode()
        split = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", latin)
        name = re.sub(r"[^a-z0-9]+", "_", split.lower()).strip("_") or "column"
        name = f"n_{name}" if name[0].isdigit() else name
        if keyword.iskeyword(name) or name in TAKEN or hasattr(pa.DataFrameModel, name):
            name += "_"
        while name in made:
            name += "_2"
        made.append(name)
    return made


def _column(con: duckdb.DuckDBPyConnection, place: int, name: str, fact: Facts) -> DraftColumn:
    made = DraftColumn(name, fact, nullable=fact.filled < fact.rows)
    if not fact.filled:
        return replace(made, notes=("empty in the sample",))
    pii = _pii_by_name(made.words)
    as_text = pii in ("phone", "iban", "address", "card")
    kind, form, notes = ("VARCHAR", None, ()) if as_text else _kind(made)
    decimal: Decimal = "," if kind.endswith(",") else "."
    misfits = fact.filled - fact.fits[form or kind] if kind != "VARCHAR" else 0
    made = replace(made, kind=kind.rstrip(","), format=form, decimal=decimal, notes=notes, pii=pii)
    if misfits:
        made = replace(made, notes=(*made.notes, f"{misfits} of {fact.filled} texts are none"))
    if made.kind in ("BIGINT", "DOUBLE", "DECIMAL(18,2)"):
        return _ranged(made)
    return _worded(con, place, made) if kind == "VARCHAR" else made


def _kind(column: DraftColumn) -> tuple[str, str | None, tuple[str, ...]]:
    """Type, format and notes: the narrowest type that nearly all texts are of; `kind,` where the decimal sign is a comma."""
    fact = column.facts
    like = fact.like

    def fits(name: str) -> bool:
        return _mostly(fact, fact.fits[name])

    if _mostly(fact, like["truth"]) and fits("BOOLEAN"):
        return "BOOLEAN", None, ()
    if fits("DOUBLE") and not like["zeros"]:
        money = bool(MONEY & column.words) or like["cents"] == fact.filled
        if money and fits("DECIMAL(18,2)"):
            return "DECIMAL(18,2)", None, ()
        if fits("BIGINT") and not like["point"]:
            return "BIGINT", None, ()
        return ("DOUBLE", None, ()) if like["point"] or not fits("DECIMAL(18,2)") else ("VARCHAR", None, ())
    if like["comma"] and fits("DOUBLE,") and not like["zeros"]:
        money = bool(MONEY & column.words) or like["cents"] == fact.filled
        return ("DECIMAL(18,2),", None, ()) if money and fits("DECIMAL(18,2),") else ("DOUBLE,", None, ())
    for kind in ("DATE", "TIMESTAMP"):
        if fits(kind):
            return kind, None, ()
    for kind, forms in (("DATE", DAYS), ("TIMESTAMP", TIMES)):
        read = [form for form in forms if fits(form)]
        if read:
            best = max(read, key=lambda form: fact.fits[form])
            others = [form for form in read if form != best and fact.fits[form] == fact.fits[best]]
            return kind, best, tuple(f"reads with {form} as well: make sure" for form in others)
    return "VARCHAR", None, ()


def _mostly(fact: Facts, count: int) -> bool:
    return count == fact.filled or (fact.filled >= ENOUGH_ROWS and count >= MOSTLY * fact.filled)


def _ranged(column: DraftColumn) -> DraftColumn:
    low, high = column.facts.low, column.facts.high
    if low is None or high is None:
        return column
    note = f"{low:.15g} to {high:.15g} in the sample"
    checks = (("ge", 0),) if low >= 0 and not ID_WORDS & column.words else ()
    return replace(column, checks=checks, notes=(note, *column.notes))


def _worded(con: duckdb.DuckDBPyConnection, place: int, column: DraftColumn) -> DraftColumn:
    """Text: personal data by content, a closed set, or a fixed format."""
    fact = column.facts
    alike = {name for name in ("email", "iban", "ip", "phone") if fact.like[name] > 0.8 * fact.filled}
    pii = next((name for name in ("email", "iban", "ip", "phone") if name in alike), column.pii)
    column = replace(column, pii=pii)
    for name in ("email", "uuid", "iban"):
        if _mostly(fact, fact.like[name]):
            misfits = fact.filled - fact.like[name]
            notes = (*column.notes, f"{misfits} of {fact.filled} texts are none") if misfits else column.notes
            return replace(column, checks=(("str_matches", f"^{PATTERNS[name]}$"),), notes=notes)
    if pii:
        return column
    many = fact.filled >= max(ENOUGH_ROWS, ROWS_PER_VALUE * fact.distinct)
    if fact.distinct <= FEW_VALUES and many and all(len(value) <= 40 for value in fact.values):
        return replace(column, checks=(("isin", list(fact.values)),))
    pattern = shape_pattern(fact.values) if fact.filled >= 3 else None
    if pattern and matches(con, place, pattern) == fact.filled:
        return replace(column, checks=(("str_matches", f"^{pattern}$"),))
    return column


def _pii_by_name(words: frozenset[str]) -> str | None:
    for kind, known in PII_WORDS.items():
        if words & set(known.split()):
            return kind
    return "name" if ("name" in words and words & PERSONS) or {"sur", "name"} <= words else None


def _key(con: duckdb.DuckDBPyConnection, columns: Sequence[DraftColumn]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The key, and other columns that are unique and never empty. A measure is no key, and neither is a name."""
    able = [
        (place, column)
        for place, column in enumerate(columns)
        if not column.nullable and column.kind in ("BIGINT", "VARCHAR")
    ]
    unique = [column for _, column in able if column.facts.distinct == column.facts.rows]
    ranked = sorted(unique, key=lambda column: not ID_WORDS & column.words)
    unique = [column for column in unique if column.kind == "VARCHAR" or ID_WORDS & column.words]
    likely = [column for column in ranked if ID_WORDS & column.words or (column is columns[0] and not column.pii)]
    if likely:
        return (likely[0].name,), tuple(column.name for column in unique if column is not likely[0])
    parts = [(place, column) for place, column in able if (ID_WORDS | LINE_WORDS) & column.words][:6]
    for pair in itertools.combinations(parts, 2):
        if identify(con, [place for place, _ in pair]):
            return tuple(column.name for _, column in pair), tuple(column.name for column in unique)
    nearly = [column for column in columns if ID_WORDS & column.words and _nearly_unique(column)]
    return tuple(column.name for column in nearly[:1]), tuple(column.name for column in unique)


def _nearly_unique(column: DraftColumn) -> bool:
    """Whether only dirt can keep the column from being a key: repeats are merged, rows without a value set aside."""
    rows, distinct = column.facts.rows, column.facts.distinct
    return column.kind in ("BIGINT", "VARCHAR") and rows >= ENOUGH_ROWS and distinct >= MOSTLY * rows


def _of_key(column: DraftColumn) -> DraftColumn:
    """A column of the key is never empty; how many rows of the sample speak against it is told."""
    strays = column.facts.rows - column.facts.distinct
    note = f"{strays} of {column.facts.rows} rows have none, or one that another row has"
    return replace(column, nullable=False, notes=(*column.notes, note) if strays else column.notes)


def _event_time(columns: Sequence[DraftColumn]) -> str | None:
    """The moment (else the day) that is always there and is named like one."""
    able = [
        column
        for column in columns
        if column.kind in ("TIMESTAMP", "DATE") and not column.nullable and not column.words & NO_EVENT
    ]
    able.sort(key=lambda c: (c.kind != "TIMESTAMP", not c.words & CHANGED, not c.words & EVENT))
    return able[0].name if able else None


def _fitted(made: Draft) -> Draft:
    """As many rules as one scan can judge: of a wide table checks are left out first, then `not null`, from the end."""
    columns, kept, dropped = list(made.columns), {*made.key, made.event_time}, 0
    for reduce in (_without_checks, _nullable, _as_text):
        for place in reversed(range(len(columns))):
            if _rule_count(columns) <= MAX_RULES:
                break
            less = columns[place] if columns[place].name in kept else reduce(columns[place])
            dropped += less != columns[place]
            columns[place] = less
    if not dropped:
        return made
    note = f"{dropped} rules were left out: a contract holds {MAX_RULES}"
    return replace(made, columns=tuple(columns), notes=(*made.notes, note))


def _without_checks(column: DraftColumn) -> DraftColumn:
    return replace(column, checks=())


def _nullable(column: DraftColumn) -> DraftColumn:
    return replace(column, nullable=True)


def _as_text(column: DraftColumn) -> DraftColumn:
    return replace(column, kind="VARCHAR", format=None)


def _rule_count(columns: Sequence[DraftColumn]) -> int:
    casts = sum(column.kind != "VARCHAR" for column in columns)
    return 3 + casts + sum(not column.nullable for column in columns) + sum(len(column.checks) for column in columns)
