"""Keeps the contract that a load commits under, in the transaction of the load."""

from __future__ import annotations

from functools import partial

import duckdb

from data_platform.contracts.export import canonical, fingerprint
from data_platform.contracts.model import Contract
from data_platform.lake.commit import Check
from data_platform.lake.recorded import Recorded, is_last, record


def recording(con: duckdb.DuckDBPyConnection, contract: Contract, run_id: str) -> Check | None:
    """What a commit is to do for the history of the contract: nothing, as a rule. Asked outside the gate, so that only a
    contract that changed costs anything inside."""
    if is_last(con, contract.name, contract.version, fingerprint(contract)):
        return None
    row = Recorded(contract.name, contract.version, fingerprint(contract), canonical(contract), run_id)
    return lambda inside: record(inside, row)


def both(*checks: Check | None) -> Check | None:
    """One check that runs those there are, in order."""
    found = [check for check in checks if check is not None]
    return partial(_run_all, found) if found else None


def _run_all(checks: list[Check], con: duckdb.DuckDBPyConnection) -> None:
    for check in checks:
        check(con)
