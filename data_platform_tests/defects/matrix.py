"""Plants the defects in drop files, loads them as any file is loaded, and says which rule caught which record.

Three days of parcels are screened in one go: `SINGLES` with each kind by itself, `PAIRS` with every two kinds that
concern different columns, and `UNREADABLE` with records that are none; clean rows are among all of them. A record that
cannot be read has no columns, and a key is decided only among rows that break nothing else: these stand in no pair.
"""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations
from pathlib import Path

import duckdb

from data_platform.contracts.model import Contract
from data_platform.lake.lake import Lake, Slice
from data_platform.lake.outcomes import LoadRecord
from data_platform.lake.sql import ident
from data_platform.quality.screening import screen
from data_platform.settings import load_settings
from data_platform.sources.declare import Feed
from data_platform.sources.reader import read_feed
from data_platform_tests.defects import kinds
from data_platform_tests.defects.contracts import DEPOTS, PARCELS, READINGS, registered

SINGLES, PAIRS, UNREADABLE = kinds.DAY, "2026-02-04", "2026-02-05"
PLANTED, PLANTED_PAIRS, CLEAN = 200, 5, 2_000
TAKEN = "key that an earlier day has"
REPEATED = "key twice in a day, table scope"
REPEATED_READING = "key twice in a day, partition scope"
Where = tuple[str, str, int]


@dataclass(frozen=True)
class Verdict:
    """What became of a record: its fate, and the rules it broke."""

    fate: str
    rules: frozenset[str] = frozenset()


CLEAN_VERDICT = Verdict("accepted")


@dataclass
class Planted:
    """The records of one day: their lines, and what was planted in which."""

    contract: Contract
    day: str
    lines: list[bytes] = field(default_factory=list)
    truth: dict[int, tuple[tuple[str, ...], Verdict, str]] = field(default_factory=dict)

    def add(self, row: Mapping[str, str]) -> int:
        texts = [row[name] for name in self.contract.columns]
        return self.add_line(_csv_line(texts))

    def add_line(self, line: bytes) -> int:
        self.lines.append(line)
        return len(self.lines)

    def label(self, record: int, names: Sequence[str], verdict: Verdict, example: str = "") -> None:
        self.truth[record] = (tuple(names), verdict, example)


@dataclass(frozen=True)
class Line:
    """A kind in the table of docs/defects.md. `caught` by the rule meant and with the fate meant; `false_alarms` are
    rows for which the rule was named and not meant."""

    kind: str
    example: str
    rule: str
    fate: str
    planted: int
    caught: int
    false_alarms: int


@dataclass(frozen=True)
class Matrix:
    """All that was planted and all that was found. `laws` has, by table and day, the records of the file, and what the
    ledger says was read, accepted, quarantined and merged."""

    planted: Sequence[Planted]
    found: Mapping[Where, Verdict]
    laws: Mapping[tuple[str, str], tuple[int, ...]]

    @cached_property
    def labelled(self) -> dict[Where, tuple[tuple[str, ...], Verdict, str]]:
        return {
            (part.contract.table, part.day, record): label
            for part in self.planted
            for record, label in part.truth.items()
        }

    @cached_property
    def clean(self) -> list[Where]:
        """The records in which nothing was planted."""
        return [where for where in self.found if where not in self.labelled]

    def wrong(self) -> list[tuple[Where, Sequence[str], Verdict, Verdict]]:
        """Records whose fate or rules are not the ones meant: what was planted, what was meant, what was found."""
        return [
            (where, self.labelled.get(where, ((),))[0], meant, verdict)
            for where, verdict in self.found.items()
            if verdict != (meant := self.labelled[where][1] if where in self.labelled else CLEAN_VERDICT)
        ]

    def lines(self) -> list[Line]:
        """A line per kind, of what was planted singly."""
        singles: dict[str, list[Where]] = defaultdict(list)
        for where, (names, _, _) in self.labelled.items():
            if len(names) == 1:
                singles[names[0]].append(where)
        alarms: dict[str, int] = defaultdict(int)
        for where, verdict in self.found.items():
            meant = self.labelled[where][1] if where in self.labelled else CLEAN_VERDICT
            for rule in verdict.rules - meant.rules:
                alarms[rule] += 1
        lines = []
        for name, places in singles.items():
            _, meant, example = self.labelled[places[0]]
            (rule,) = meant.rules
            caught = sum(self.found[where] == meant for where in places)
            lines.append(Line(name, example, rule, meant.fate, len(places), caught, alarms[rule]))
        return lines


def build(home: Path) -> Matrix:
    """Plants, loads and screens everything in a new lake under `home`."""
    settings = load_settings(home=home, threads=2)
    settings.landing_dir.mkdir(parents=True)
    lake = Lake(settings)
    try:
        parts = [*_depots(), *_parcels(), *_readings()]
        for contract in (DEPOTS, PARCELS, READINGS):
            own = [part for part in parts if part.contract is contract]
            for part in own:
                _land(lake, part)
            with registered():
                outcomes = screen(lake, contract, [part.day for part in own], "matrix")
            for outcome in outcomes:
                assert outcome.committed, outcome.load.error
        with lake.connect() as con:
            judged = parts[2:]  # depots are there to be referred to
            found = {where: verdict for part in judged for where, verdict in _found(con, part)}
            laws = {(part.contract.table, part.day): _law(con, part) for part in parts}
        return Matrix(judged, found, laws)
    finally:
        lake.close()


def _depots() -> list[Planted]:
    first, last = Planted(DEPOTS, SINGLES), Planted(DEPOTS, UNREADABLE)
    for number in range(50):
        first.add({"depot_id": kinds.DEPOT.format(number), "seen_at": f"{SINGLES} 00:00:00"})
    for number in range(20):
        last.add({"depot_id": kinds.LATER_DEPOT.format(number), "seen_at": f"{UNREADABLE} 00:00:00"})
    return [first, last]


def _parcels() -> list[Planted]:
    singles, pairs, unreadable = (Planted(PARCELS, day) for day in (SINGLES, PAIRS, UNREADABLE))
    numbers = iter(range(10_000_000, 99_999_999))
    for part in (singles, pairs, unreadable):
        for _ in range(CLEAN):
            part.add(kinds.clean_row(next(numbers), part.day))
    for kind in kinds.IN_COLUMNS:
        for n in range(PLANTED):
            row = kind.plant(kinds.clean_row(next(numbers), SINGLES), n)
            singles.label(singles.add(row), [kind.name], _meant([kind]), row[kind.column])
    for one, other in combinations(kinds.IN_COLUMNS, 2):
        if not one.touches() & other.touches():
            for n in range(PLANTED_PAIRS):
                row = other.plant(one.plant(kinds.clean_row(next(numbers), SINGLES), n), n + 1)
                pairs.label(pairs.add(_on_the_pairs_day(row)), [one.name, other.name], _meant([one, other]))
    _plant_unreadable(unreadable)
    _plant_taken_keys(singles, pairs)
    _plant_repeated_keys(singles, [kinds.clean_row(next(numbers), SINGLES) for _ in range(PLANTED)])
    return [singles, pairs, unreadable]


def _on_the_pairs_day(row: Mapping[str, str]) -> dict[str, str]:
    """The row with its event as early or late, against the day of the pairs, as it was against the day of the kinds."""
    moved = {SINGLES: PAIRS, PAIRS: UNREADABLE, "2026-02-02": SINGLES}
    day = next((day for day in moved if row["sent_at"].strip().startswith(day)), None)
    return dict(row) if day is None else {**row, "sent_at": row["sent_at"].replace(day, moved[day])}


def _meant(planted: Sequence[kinds.Kind]) -> Verdict:
    """A row that is set aside names the rules that set it aside; one that is only flagged names its flags."""
    rules = frozenset(kind.rule for kind in planted if kind is not kinds.LATE)
    return Verdict("quarantined", rules) if rules else Verdict("flagged", frozenset({kinds.LATE.rule}))


def _plant_unreadable(part: Planted) -> None:
    for name, shapes in kinds.UNREADABLE.items():
        for n in range(PLANTED):
            shape = shapes[n % len(shapes)]
            line = shape.replace(b"%s", str(n).encode() + b"," * (len(PARCELS.columns) - 1 - shape.count(b",")))
            label = part.add_line(line + b"\n")
            part.label(label, [name], Verdict("quarantined", frozenset({"record.parse"})), repr(shape)[2:-1][:40])


def _plant_taken_keys(earlier: Planted, later: Planted) -> None:
    """Keys of the first clean rows of the earlier day, sent again on the later one."""
    for n in range(PLANTED):
        key = kinds.clean_row(10_000_000 + n, earlier.day)["parcel_id"]
        row = kinds.clean_row(n, later.day) | {"parcel_id": key}
        later.label(later.add(row), [TAKEN], Verdict("quarantined", frozenset({"key"})), key)


def _plant_repeated_keys(part: Planted, rows: Iterable[kinds.Row]) -> None:
    """The older copy of each row is the one to be merged."""
    for row in rows:
        older = part.add(row | {"sent_at": f"{part.day} 08:00:00"})
        part.add(row | {"sent_at": f"{part.day} 09:00:00"})
        part.label(older, [REPEATED], Verdict("merged", frozenset({"key"})), row["parcel_id"])


def _readings() -> list[Planted]:
    """On the later day the same keys are no defect: they are unique within a day."""
    part, later = Planted(READINGS, SINGLES), Planted(READINGS, PAIRS)
    for n in range(PLANTED):
        row = {"meter_id": f"M{n}", "litres": str(n), "read_at": f"{SINGLES} 08:00:00"}
        older = part.add(row)
        part.add(row | {"read_at": f"{SINGLES} 08:00:01"})
        part.label(older, [REPEATED_READING], Verdict("merged", frozenset({"key"})), row["meter_id"])
        later.add(row | {"read_at": f"{PAIRS} 08:00:00"})
    return [part, later]


def _land(lake: Lake, part: Planted) -> None:
    """Writes the day's drop file, reads it as any feed is read, and commits it to raw."""
    contract, raw = part.contract, f"raw.{part.contract.table}"
    feed = Feed(contract.name, f"{contract.table}/{{key}}.csv", "csv")
    path = feed.locate(lake.settings.landing_dir, part.day)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(_csv_line([column.source for column in contract.columns.values()]) + b"".join(part.lines))
    by = {dimension.column: dimension.duckdb_type for dimension in contract.partition.dimensions}
    texts = {column.source: "VARCHAR" for column in contract.columns.values()}
    origin = {"_file": "VARCHAR", "_file_hash": "VARCHAR", "_record": "BIGINT", "_offset": "BIGINT",
              "_bytes": "BLOB", "_defect": "VARCHAR", "_extra": "VARCHAR"}  # fmt: skip
    with lake.connect() as con:
        lake.ensure_table(con, raw, {**texts, **origin, **by}, partition_by=tuple(by))
        read = read_feed(
            con, feed, contract, lake.settings.landing_dir, feed.file(part.day), path.with_suffix(".spool")
        )
        values = contract.partition.values(part.day)
        staged = lake.stage(con, raw, f"FROM ({read.relation})", values)
        load = LoadRecord(raw, part.day, "matrix", "committed", rows_read=read.records, rows_accepted=read.records)
        lake.commit([Slice(raw, values, (staged,) if staged else ())], [load])


def _csv_line(texts: Sequence[str]) -> bytes:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(texts)
    return line.getvalue().encode()


def _found(con: duckdb.DuckDBPyConnection, part: Planted) -> list[tuple[Where, Verdict]]:
    table, day = part.contract.table, f"arrival_date = DATE '{part.day}'"
    rows = con.execute(f"""
        SELECT _record, coalesce(aside.fate, kept.fate, 'merged'), coalesce(aside.rules, kept.rules, '')
        FROM lake.raw.{ident(table)} AS raw
        LEFT JOIN (SELECT _record, 'quarantined' AS fate, rules FROM lake.quarantine.{ident(table)} WHERE {day}) AS aside
            USING (_record)
        LEFT JOIN (SELECT _record, if(_flags IS NULL, 'accepted', 'flagged') AS fate, _flags AS rules
            FROM lake.staging.{ident(table)} WHERE {day}) AS kept USING (_record)
        WHERE raw.{day}""").fetchall()
    return [
        ((table, part.day, record), Verdict(fate, frozenset({"key"} if fate == "merged" else filter(None, rules.split(",")))))
        for record, fate, rules in rows
    ]  # fmt: skip


def _law(con: duckdb.DuckDBPyConnection, part: Planted) -> tuple[int, ...]:
    counts = con.execute(
        "SELECT rows_read, rows_accepted, rows_quarantined, rows_merged FROM lake.ops.loads "
        "WHERE asset = ? AND partition_key = ? AND outcome = 'committed'", [part.contract.name, part.day],
    ).fetchone()  # fmt: skip
    assert counts is not None
    return (len(part.lines), *counts)
