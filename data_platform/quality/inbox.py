"""The quarantine inbox: which rows wait there, and what is known of them. Looking only; deciding is `decide.py`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb

from data_platform.contracts.model import Contract, Rule
from data_platform.errors import UsageError, did_you_mean
from data_platform.lake.sql import ident, names, text, texts
from data_platform.quality.aside import STATUSES
from data_platform.quality.compiler import NO_RULE
from data_platform.quality.raw_rows import identity
from data_platform.quality.results import mask

WAITING = ("open", "held", "fixed")
RULELESS = (NO_RULE, "none")
"""The first rule of rows that break none but were discarded; `none` is how it was called."""
Row = dict[str, Any]


@dataclass(frozen=True)
class Pick:
    """Which quarantined rows of one staging table are meant; what is left out is not asked for."""

    contract: Contract
    rule: str | None = None
    partition: str | None = None
    file: str | None = None
    record: int | None = None
    status: str | None = None

    def __post_init__(self) -> None:
        if self.status is not None and self.status not in STATUSES:
            raise UsageError(
                f"`{self.status}` is no status of a quarantined row.{did_you_mean(self.status, STATUSES)}",
                fix=f"use {', '.join(STATUSES)}",
            )

    @property
    def table(self) -> str:
        return f"lake.quarantine.{ident(self.contract.table)}"

    @property
    def where(self) -> str:
        """A condition on rows of the quarantine table. Raises `ContractError` for a partition that cannot be."""
        parts = []
        if self.rule is not None:
            parts.append(f"list_contains(string_split(rules, ','), {text(self.rule)})")
        if self.partition is not None:
            values = self.contract.partition.values(self.partition)
            parts += [f"{ident(name)} = {text(str(value))}" for name, value in values.items()]
        for column, value in (("_file", self.file), ("status", self.status)):
            if value is not None:
                parts.append(f"{column} = {text(value)}")
        if self.record is not None:
            parts.append(f"_record = {int(self.record)}")
        return " AND ".join(parts) or "true"

    def __str__(self) -> str:
        stated = {
            "rule": self.rule, "partition": self.partition, "file": self.file, "record": self.record,
            "status": self.status,
        }  # fmt: skip
        return ", ".join(f"{name} {value}" for name, value in stated.items() if value is not None) or "all rows"


def summary(con: duckdb.DuckDBPyConnection, pick: Pick) -> list[Row]:
    """Rows by first rule and status: how many, in how many partitions, the first and the last of them, since when."""
    by = pick.contract.partition.columns
    place = names(by) or "1"
    rows = con.execute(f"""
        SELECT first_rule, status, count(*), count(DISTINCT row({place})), min(row({place})), max(row({place})), min(quarantined_at)
        FROM {pick.table} WHERE {pick.where} GROUP BY ALL ORDER BY 2, 3 DESC, 1""").fetchall()
    return [
        {
            "table": pick.contract.name, "rule": rule, "status": status, "rows": count,
            "partitions": places if by else None, "first": key_of(pick.contract, first), "last": key_of(pick.contract, last),
            "since": since,
        }
        for rule, status, count, places, first, last, since in rows
    ]  # fmt: skip


def shown(con: duckdb.DuckDBPyConnection, pick: Pick, limit: int) -> list[Row]:
    """Rows as a human may see them, in order of file and record: personal data is masked, in the reasons too."""
    contract = pick.contract
    by = contract.partition.columns
    rows = con.execute(f"""
        SELECT row({names(by) or "1"}), _file, _record, status, rules, "row", reasons FROM {pick.table}
        WHERE {pick.where} ORDER BY ALL LIMIT {int(limit)}""").fetchall()
    found, known = [], {rule.name: rule for rule in contract.rules}
    for place, file, record, status, rules, came, reasons in rows:
        raw = json.loads(came) if came else {}
        values = {column.name: mask(raw.get(column.source), column.pii) for column in contract.columns.values()}
        broken = [name for name in rules.split(",") if name]
        private = any(
            name not in known or any(contract.columns[part].pii for part in known[name].columns) for name in broken
        )
        why = "; ".join(_expected(name, known.get(name)) for name in broken) if private else reasons
        found.append(
            {"partition": key_of(contract, place), "file": file, "record": record, "status": status, "why": why, "row": values}
        )  # fmt: skip
    return found


def _expected(name: str, rule: Rule | None) -> str:
    """A broken rule without the value that broke it. The contract of today may not have the rule any more."""
    return f"{name}: expected {rule.expected}" if rule else f"{name}: a rule that the contract has no more"


def require_rule(con: duckdb.DuckDBPyConnection, pick: Pick) -> None:
    """Raises `UsageError` for a rule that neither the contract has nor any row in quarantine broke."""
    if pick.rule is not None and not counts(con, Pick(pick.contract, pick.rule)):
        pick.contract.rule(pick.rule)


def partitions(con: duckdb.DuckDBPyConnection, pick: Pick, statuses: Sequence[str] = STATUSES) -> list[str]:
    """Keys of the partitions that have such rows in one of these statuses, in order."""
    by = names(pick.contract.partition.columns) or "1"
    rows = con.execute(f"""
        SELECT DISTINCT row({by}) FROM {pick.table}
        WHERE {pick.where} AND status IN (SELECT unnest({texts(statuses)})) ORDER BY ALL""").fetchall()
    return [key_of(pick.contract, place) for (place,) in rows]


def counts(con: duckdb.DuckDBPyConnection, pick: Pick) -> Mapping[str, int]:
    """Rows by status."""
    rows = con.execute(f"SELECT status, count(*) FROM {pick.table} WHERE {pick.where} GROUP BY ALL").fetchall()
    return {status: int(count) for status, count in rows}


def left(con: duckdb.DuckDBPyConnection, contract: Contract, version: int) -> int:
    """How many rows waited in this version of the lake and do so no more."""
    table, record = Pick(contract).table, identity(contract)
    waiting = f"status IN (SELECT unnest({texts(WAITING)}))"
    row = con.execute(f"""
        SELECT count(*) FROM (
            SELECT {record} FROM {table} AT (VERSION => {int(version)}) WHERE {waiting}
            EXCEPT SELECT {record} FROM {table} WHERE {waiting})""").fetchone()
    return int(row[0]) if row else 0


def key_of(contract: Contract, place: Any) -> str:
    """The partition key of a row() of partition values."""
    by = contract.partition.columns
    values = list(place.values()) if isinstance(place, dict) else list(place)
    return contract.partition.key(dict(zip(by, values, strict=False))) if by else ""
