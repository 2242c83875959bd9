"""Rules that only Python can judge: the slow path. Batches of the columns they ask for leave the engine for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

from data_platform.contracts.model import Contract, PythonRule
from data_platform.errors import LoadFailed
from data_platform.lake.sql import names
from data_platform.quality.compiler import CompiledRule

if TYPE_CHECKING:
    import pandas as pd

BATCH_ROWS = 100_000


def judge_in_python(con: duckdb.DuckDBPyConnection, contract: Contract, rules: Sequence[CompiledRule]) -> None:
    """Sets the bits of the contract's Python rules in the temporary table `judged`. Raises `LoadFailed` for a rule that
    could not be evaluated: that is a failure and never a pass."""
    for compiled in rules:
        if compiled.rule.python is not None:
            broken = pa.table(
                {"id": pa.array(list(broken_ids(con, contract, compiled.rule.python, "judged")), pa.int64())}
            )
            con.register("_broken_in_python", broken)
            con.execute(
                f"UPDATE judged SET _broken = _broken | {1 << compiled.bit}::UBIGINT "
                "WHERE rowid IN (SELECT id FROM _broken_in_python)"
            )
            con.unregister("_broken_in_python")


def broken_ids(con: duckdb.DuckDBPyConnection, contract: Contract, rule: PythonRule, table: str) -> Iterator[int]:
    """Row ids of a temporary table whose rows break the rule. Raises `LoadFailed`."""
    reader = con.execute(f"SELECT rowid AS _id, {names(rule.columns)} FROM {table}").fetch_record_batch(BATCH_ROWS)
    for batch in reader:
        frame = batch.to_pandas()
        ids = frame.pop("_id")
        yield from ids[~_verdict(contract, rule, frame)].tolist()


def _verdict(contract: Contract, rule: PythonRule, frame: pd.DataFrame) -> Any:
    try:
        verdict = rule.holds(frame)
        if len(verdict) != len(frame) or str(verdict.dtype) not in ("bool", "boolean"):
            raise ValueError(f"it gave {len(verdict)} values of type {verdict.dtype} for {len(frame)} rows")
        return verdict.fillna(value=False).astype(bool).to_numpy()
    except Exception as error:  # a user's function can raise anything
        raise LoadFailed(
            f"`{contract.name}`: the rule `{rule.name}` could not be evaluated: {_said(contract, rule, error)}.",
            fix="correct the function in the contract: it takes a pandas frame and returns a boolean per row",
        ) from error


def _said(contract: Contract, rule: PythonRule, error: Exception) -> str:
    """The error's kind, and its words unless they may quote personal data."""
    personal = any(contract.columns[name].pii for name in rule.columns)
    return type(error).__name__ if personal else f"{type(error).__name__}: {error}"
