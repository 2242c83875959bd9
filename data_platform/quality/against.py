"""What the contract of today would do to the rows that the lake has. Temporary tables only; commits nothing.

Each raw partition whose staging load is committed is judged again and compared, record by record, with what became of
it. Besides the contract other things may make a difference: a parent that arrived since, a fix that waits for its
replay.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import duckdb

from data_platform.contracts.model import Contract
from data_platform.lake.ledger import latest_loads
from data_platform.lake.patches import has_patches, latest_patches
from data_platform.lake.sql import ident, names, table_name
from data_platform.quality.compiler import Judge
from data_platform.quality.counting import Counts, counts
from data_platform.quality.judging import chunks, judge, rows_at_once
from data_platform.quality.measures import history_of, verdicts
from data_platform.quality.raw_rows import identity, in_partitions
from data_platform.quality.refusal import refusal

CHUNK_PARTITIONS = 400
MANY_PARTITIONS = 20  # from here on progress is worth showing
OnDone = Callable[[int, int], None]
Row = dict[str, object]


@dataclass
class Against:
    """What was found. `differences` has a row per partition and rule; rows that break several rules count for the
    first. `refused` are partitions that would not commit at all, with the reason."""

    partitions: int = 0
    rows: int = 0
    differences: list[Row] = field(default_factory=list)
    refused: list[Row] = field(default_factory=list)
    by_rule: dict[str, dict[str, int]] = field(default_factory=dict)

    @property
    def to_quarantine(self) -> int:
        return sum(counts["to_quarantine"] for counts in self.by_rule.values())

    @property
    def to_accept(self) -> int:
        return sum(counts["to_accept"] for counts in self.by_rule.values())

    def add(self, partition: str, rule: str, to_quarantine: int, to_accept: int) -> None:
        row = {"partition": partition, "rule": rule, "to_quarantine": to_quarantine, "to_accept": to_accept}
        self.differences.append(dict(row))
        total = self.by_rule.setdefault(rule, {"to_quarantine": 0, "to_accept": 0})
        total["to_quarantine"] += to_quarantine
        total["to_accept"] += to_accept


def judge_lake(con: duckdb.DuckDBPyConnection, contract: Contract, on_done: OnDone | None = None) -> Against:
    """Judges all committed partitions of a staging table, some millions of rows at a time. `on_done(done, total)` tells
    of partitions."""
    judging = Judge.of(contract)
    read = {load.partition_key: load.rows_read for load in latest_loads(con, contract.name)}
    # What a load would find read is what raw has by now.
    raw = latest_loads(con, f"raw.{contract.table}", keys=list(read))
    read |= {load.partition_key: load.rows_read for load in raw}
    # A number about the partition as a whole needs all values; it is asked for where it decides.
    measured = any(rule.kind in ("measure", "band") and rule.action == "fail" for rule in contract.rules)
    decided = latest_patches(contract.name) if has_patches(con, contract.name) else None
    found, done = Against(partitions=len(read)), 0
    try:
        for keys in chunks(dict(sorted(read.items())), rows_at_once(con, contract), CHUNK_PARTITIONS):
            if on_done:
                on_done(done, len(read))
            values = [contract.partition.values(key) for key in keys]
            judge(con, judging, values, decided, verdicts_only=not measured)
            _compare(con, judging, keys, found)
            _refusals(con, judging, {key: read[key] for key in keys}, measured, found)
            done += len(keys)
        if on_done:
            on_done(done, len(read))
    finally:
        con.execute("DROP VIEW IF EXISTS routed")
        for table in ("judged", "fates", "repeated", "leaving"):
            con.execute(f"DROP TABLE IF EXISTS {table}")
    return found


def _compare(con: duckdb.DuckDBPyConnection, judging: Judge, keys: Sequence[str], found: Against) -> None:
    """Adds the differences of the partitions in `routed`. The few rows that are set aside, now or then, are what the
    many are compared with: no table of all rows is joined with another."""
    contract = judging.contract
    by, record = names(contract.partition.columns), identity(contract)
    here = in_partitions(contract, [contract.partition.values(key) for key in keys])
    aside, staging = f"lake.quarantine.{ident(contract.table)}", table_name(contract.name).sql
    con.execute(f"""
        CREATE OR REPLACE TEMP TABLE leaving AS
        SELECT {record}, {judging.first_rule_sql()} AS rule FROM routed WHERE _fate = 'quarantined'""")
    now = con.execute(f"""
        SELECT {by or "1"}, rule, count(*), 0 FROM leaving SEMI JOIN (
            SELECT {record} FROM {staging} WHERE {here}) AS kept USING ({record})
        GROUP BY ALL
        UNION ALL
        SELECT {by or "1"}, rule, 0, count(*) FROM (
            SELECT was.* FROM (SELECT {record}, first_rule AS rule FROM {aside} WHERE {here}) AS was
            SEMI JOIN (SELECT {record} FROM routed WHERE _fate <> 'quarantined') AS kept USING ({record}))
        GROUP BY ALL""").fetchall()
    width = len(contract.partition.columns) or 1
    sums: dict[tuple[str, str], list[int]] = {}
    for row in now:
        counts = sums.setdefault((_key(contract, row[:width]), row[width]), [0, 0])
        counts[0] += row[width + 1]
        counts[1] += row[width + 2]
    for (key, rule), (to_quarantine, to_accept) in sorted(sums.items()):
        found.add(key, rule, to_quarantine, to_accept)


def _refusals(
    con: duckdb.DuckDBPyConnection, judging: Judge, read: Mapping[str, int], measured: bool, found: Against
) -> None:
    """Counts the rows, and names the partitions that would not commit, for the reasons that a load has."""
    contract = judging.contract
    counted = counts(con, judging, measures=measured)
    history = history_of(con, contract, list(read))
    for key, rows in sorted(read.items()):
        own = counted.get(key) or Counts.of(contract, None, [name for name, _ in judging.bits()])
        found.rows += own.accepted + own.quarantined + own.merged
        judged = verdicts(contract, own.measures, history, key, rows) if measured else []
        why = refusal(contract, rows, own, judged)
        if why:
            found.refused.append({"partition": key, "why": why.said})
        elif measured:
            history.add(key, own.measures)


def _key(contract: Contract, values: Sequence[object]) -> str:
    return contract.partition.key(dict(zip(contract.partition.columns, values, strict=False)))
