"""Compares what was loaded of a file with what its source states: rows, sums, the file's hash. Nothing is committed.

The sums are taken over the raw records, before anybody's fix: what the source sent is what it states. They are exact,
as far as the column's type is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal

import duckdb

from data_platform.contracts.measures import SOURCE_KINDS, Measure
from data_platform.contracts.model import Contract
from data_platform.contracts.partitioning import Values
from data_platform.lake.outcomes import LoadRecord, RuleResult
from data_platform.lake.sql import ident, names
from data_platform.quality.compiler import raw_text, typed_value
from data_platform.quality.measures import partition_result
from data_platform.quality.raw_rows import in_partitions

Sum = tuple[Decimal | float | None, int]
"""A column's sum over the records of a partition, and how many of its texts are no numbers."""
Sums = Mapping[str, Sum]


def raw_sums(con: duckdb.DuckDBPyConnection, contract: Contract, partitions: Sequence[Values]) -> dict[str, Sums]:
    """The sums that the contract compares, by partition key and column. Nothing is read when it compares none."""
    wanted = [contract.columns[measure.column] for measure in _compared(contract) if measure.column]
    if not wanted:
        return {}
    by = contract.partition.columns
    texts = ", ".join(raw_text(column) for column in wanted)
    typed = ", ".join(
        f"sum({typed_value(column)}), count({ident(f'raw:{column.name}')}) - count({typed_value(column)})"
        for column in wanted
    )
    rows = con.execute(f"""
        SELECT {names(by) or "1"}, {typed}
        FROM (SELECT {names(by) or "1 AS one"}, {texts} FROM lake.raw.{ident(contract.table)}
            WHERE {in_partitions(contract, partitions)})
        GROUP BY {", ".join(str(number + 1) for number in range(len(by))) or "()"}""").fetchall()
    width = len(by) or 1
    return {
        contract.partition.key(dict(zip(by, row, strict=False))): {
            column.name: (row[width + 2 * place], row[width + 2 * place + 1]) for place, column in enumerate(wanted)
        }
        for row in rows
    }


def reconciled(contract: Contract, load: LoadRecord, raw: LoadRecord, sums: Sums) -> Iterator[RuleResult]:
    """One verdict per rule that compares with the source. What the source does not state cannot be evaluated: that is
    a failure."""
    for rule in contract.rules:
        if rule.measure is not None and rule.measure.kind in SOURCE_KINDS:
            holds, actual = _compare(contract, rule.measure, load, raw, sums)
            yield partition_result(rule, holds, actual)


def _compared(contract: Contract) -> list[Measure]:
    return [measure for measure in contract.measures if measure.kind in SOURCE_KINDS]


def _compare(contract: Contract, measure: Measure, load: LoadRecord, raw: LoadRecord, sums: Sums) -> tuple[bool, str]:
    if "error" in raw.stated:
        return False, f"`{raw.stated['file']}` {raw.stated['error']}"
    if measure.kind == "source_rows" and "rows" in raw.stated:
        rows, wanted = load.rows_accepted + load.rows_quarantined + load.rows_merged, raw.stated["rows"]
        return rows == wanted, f"rows: {rows:,}; the source states {wanted:,}"
    if measure.kind == "source_hash" and "sha256" in raw.stated:
        found = {file.rpartition("#sha256=")[2] for file in raw.source_files}
        return found == {raw.stated["sha256"]}, f"sha256 {', '.join(found)}; the source states {raw.stated['sha256']}"
    if measure.kind == "source_sum" and measure.column:
        column, stated = contract.columns[measure.column], raw.stated.get("sums", {})
        said = stated.get(column.source, stated.get(column.name))
        if said is not None:
            return _compare_sums(sums.get(column.name, (None, 0)), Decimal(said), measure.at_most or 0.0)
    return (
        False,
        f"the source does not state it in `{raw.stated['file']}`" if raw.stated else "the source states nothing",
    )


def _compare_sums(found: Sum, stated: Decimal, within: float) -> tuple[bool, str]:
    value, unread = found
    total = value if value is not None else Decimal(0)  # no records at all, or none with a value
    apart = abs(total - stated) if not isinstance(total, float) else abs(total - float(stated))
    # A sum of floating-point numbers depends on their order.
    holds = (
        apart <= Decimal(str(within))
        if not isinstance(apart, float)
        else (apart <= within or math.isclose(float(total), float(stated), rel_tol=1e-9))
    )
    more = f"; {unread:,} texts are no numbers" if unread else ""
    return holds, f"sum: {total:,}; the source states {stated:,}{more}"
