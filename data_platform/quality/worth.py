"""What rules cost and what they catch: seconds measured on rows that the lake has, rows caught from the ledger."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median

import duckdb

from data_platform.contracts.model import Contract
from data_platform.lake.ledger import Load, loads_since
from data_platform.lake.sql import ident, names
from data_platform.quality.compiler import Judge, compile_rules, typed_value
from data_platform.quality.judging import judge, typed_sql
from data_platform.quality.parents import parents_sql
from data_platform.quality.python_rules import broken_ids

SAMPLE_ROWS = 500_000
REPEATS = 3


@dataclass(frozen=True)
class Worth:
    """One rule: its share of the time that screening takes, and rows that broke it, of the rows read."""

    rule: str
    action: str
    seconds: float
    share: float
    caught: int
    read: int

    def said(self, since: str) -> str:
        """In words."""
        caught = f"caught {self.caught:,} of {self.read:,} rows" if self.caught else "caught nothing"
        return f"{self.share:.0%} of the screening; {caught} {since}"


def worth(con: duckdb.DuckDBPyConnection, contract: Contract, since: datetime | None) -> list[Worth]:
    """Every rule of a staging table about rows, the dearest first. Seconds are for the newest partitions, about half a
    million rows, each rule alone, and its share is of screening them; rows are of all loads finished since then, failed
    ones too, each file version once."""
    loads = _since(loads_since(con, -1, contract.name), since)
    read, caught = _caught(loads, loads_since(con, -1, f"raw.{contract.table}", outcome="committed"))
    committed = {load.partition_key: load.rows_read for load in loads if load.outcome == "committed" and load.rows_read}
    chosen = _newest(committed)
    seconds, whole = _seconds(con, contract, chosen), _screening(con, contract, chosen)
    rules = (*contract.row_rules, *(rule for rule in contract.rules if rule.kind == "key"))
    found = [
        Worth(rule.name, rule.action, took, min(took / whole, 1.0), caught.get(rule.name, 0), read)
        for rule in rules
        for took in (seconds.get(rule.name, 0.0),)
    ]
    return sorted(found, key=lambda each: (-each.seconds, each.rule))


def _since(loads: Sequence[Load], since: datetime | None) -> list[Load]:
    return [load for load in loads if since is None or load.finished_at is None or load.finished_at >= since]


def _caught(loads: Sequence[Load], raw: Sequence[Load]) -> tuple[int, Mapping[str, int]]:
    """Rows read, and rows that broke each rule. A file version that was loaded again, as after a fix or under another
    contract, counts once, with the most that a load of it found."""
    landed: dict[str, list[Load]] = {}
    for load in raw:
        landed.setdefault(load.partition_key, []).append(load)
    read, most = Counter[tuple[str, object]](), dict[str, Counter[tuple[str, object]]]()
    for load in loads:
        before = [other for other in landed.get(load.partition_key, []) if other.snapshot_id <= load.snapshot_id]
        version = (load.partition_key, before[-1].source_files if before else None)
        read[version] = max(read[version], load.rows_read)
        for rule, rows in load.by_rule.items():
            found = most.setdefault(rule, Counter())
            found[version] = max(found[version], rows)
    return read.total(), {rule: found.total() for rule, found in most.items()}


def _screening(con: duckdb.DuckDBPyConnection, contract: Contract, chosen: Sequence[str]) -> float:
    """Seconds that judging these partitions takes, all rules and keys together. Never 0."""
    if not chosen:
        return 1.0
    started = time.perf_counter()
    judge(con, Judge.of(contract), [contract.partition.values(key) for key in chosen])
    taken = time.perf_counter() - started
    con.execute("DROP VIEW routed")
    return taken


def _seconds(con: duckdb.DuckDBPyConnection, contract: Contract, chosen: list[str]) -> Mapping[str, float]:
    if not chosen:
        return {}
    partitions = [contract.partition.values(key) for key in chosen]
    con.execute(f"CREATE OR REPLACE TEMP TABLE weighed AS {typed_sql(con, contract, partitions)}")
    nothing = _timed(con, "SELECT count(*) FROM weighed")
    found = {}
    for compiled in compile_rules(contract):
        rule = compiled.rule
        # What a cast costs is making the value; whether it broke is then seen at once.
        what = typed_value(contract.columns[rule.columns[0]]) + " IS NULL" if rule.kind == "cast" else compiled.broken
        found[rule.name] = max(_timed(con, f"SELECT count_if({what}) FROM weighed") - nothing, 0.0)
    for fk in contract.foreign_keys:
        joined = (
            f"SELECT count(p.id) FROM weighed LEFT JOIN ({parents_sql(fk)}) AS p ON weighed.{ident(fk.column)} = p.id"
        )
        found[f"{fk.column}.exists"] += max(_timed(con, joined) - nothing, 0.0)
    if contract.key:
        grouped = f"SELECT 1 FROM weighed GROUP BY {names(contract.key.columns)} HAVING count(*) > 1"
        found["key"] = max(_timed(con, f"SELECT count(*) FROM ({grouped})") - nothing, 0.0)
    for slow in contract.python_rules:
        started = time.perf_counter()
        deque(broken_ids(con, contract, slow, "weighed"), maxlen=0)
        found[slow.name] = time.perf_counter() - started
    con.execute("DROP TABLE weighed")
    return found


def _newest(read: Mapping[str, int]) -> list[str]:
    """Partitions from the newest on, up to about half a million rows."""
    chosen, rows = list[str](), 0
    for key in sorted(read, reverse=True):
        if chosen and rows + read[key] > SAMPLE_ROWS:
            break
        chosen.append(key)
        rows += read[key]
    return chosen


def _timed(con: duckdb.DuckDBPyConnection, sql: str) -> float:
    taken = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        con.execute(sql).fetchall()
        taken.append(time.perf_counter() - started)
    return median(taken)
