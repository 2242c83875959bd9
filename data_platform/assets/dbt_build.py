"""From partition keys to committed marts: dbt builds candidates, the audit judges each partition, what passes is
committed. No Dagster here; SQL is dbt's, rules are the contract's.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import partial
from pathlib import Path
from typing import Any

import duckdb

from data_platform.assets.dbt_manifest import lake_tables, parents, read_manifest
from data_platform.assets.dbt_runner import DBT_DIR, Candidates, built, manifest_path
from data_platform.contracts import dbt_yml
from data_platform.contracts.model import Contract
from data_platform.contracts.partitioning import Partitioning
from data_platform.errors import ContractError, LakeError, PlatformError
from data_platform.lake import stopping
from data_platform.lake.commit import snapshot_id
from data_platform.lake.lake import Lake
from data_platform.lake.ledger import loads_since
from data_platform.lake.outcomes import LoadRecord, Outcome
from data_platform.lake.points import reached
from data_platform.lake.retrying import retrying
from data_platform.lake.sql import ident, text
from data_platform.lake.staging import FILE_FORMAT
from data_platform.lake.storage import is_lost
from data_platform.quality.audit import build_mart

OnDone = Callable[[Outcome], None]
ATTEMPTS = 3
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Span:
    """Partitions that follow each other without a gap, and the half open window of days they cover together;
    no window for an unpartitioned table."""

    keys: tuple[str, ...]
    window: tuple[date, date] | None


@dataclass(frozen=True)
class Building:
    """What all builds of one call of `build_marts` share."""

    lake: Lake
    contracts: Sequence[Contract]
    run_id: str
    on_done: OnDone | None
    dbt_dir: Path


class _SqlFailed(Exception):
    """dbt could not build some models; nothing was committed of the others. `causes` is by model."""

    def __init__(self, causes: Mapping[str, str]) -> None:
        super().__init__(causes)
        self.causes = causes


def build_marts(
    lake: Lake, contracts: Sequence[Contract], keys: Sequence[str], run_id: str,
    on_done: OnDone | None = None, dbt_dir: Path = DBT_DIR,
) -> dict[str, list[Outcome]]:  # fmt: skip
    """Builds these marts, all partitioned alike, for these keys. Returns the outcomes by contract name, in the order
    in which the marts depend on each other. A partition whose candidate fails keeps the rows it had, and so does the
    same partition of each mart built from it. A model whose SQL fails is built again for fewer days, until those are left
    whose rows it cannot take.

    All models of an attempt read one version of the lake. Partitions that a load of staging has changed since are built
    again. Those that were not begun when somebody asked to stop have no outcome."""
    partitioning, left = contracts[0].partition, list(keys)
    building = Building(lake, contracts, run_id, on_done, dbt_dir)
    outcomes: dict[str, dict[str, Outcome]] = {}
    reads = lake_tables(read_manifest(manifest_path(lake.settings, dbt_dir)), {found.table for found in contracts})
    for _ in range(ATTEMPTS):
        seen = lake.read(snapshot_id)
        for span in spans(partitioning, left):
            if stopping.asked():
                return {name: list(found.values()) for name, found in outcomes.items()}
            for name, found in _build_span(building, span, seen).items():
                outcomes.setdefault(name, {}).update({outcome.partition_key: outcome for outcome in found})
        left = overtaken(lake, sorted(set().union(*reads.values())), seen, partitioning, left)
        if not left:
            break
    else:
        log.warning("staging changed during each of %s builds of %s; stale still: %s", ATTEMPTS, list(outcomes), left)
    return {name: list(found.values()) for name, found in outcomes.items()}


def spans(partitioning: Partitioning, keys: Sequence[str]) -> list[Span]:
    """Keys as runs without gaps, in order of time. Raises `ContractError` for a table that is not cut by days or
    months alone."""
    if not partitioning.dimensions:
        return [Span(tuple(keys), None)]
    if len(partitioning.dimensions) > 1 or partitioning.dimensions[0].grain not in ("day", "month"):
        raise ContractError(f"dbt builds marts by day or month, not by {list(partitioning.columns)}.")
    (dimension,) = partitioning.dimensions
    runs: list[tuple[list[str], datetime, datetime]] = []
    for start, end, key in sorted((*dimension.window(key), key) for key in set(keys)):
        if runs and runs[-1][2] == start:
            runs[-1] = ([*runs[-1][0], key], runs[-1][1], end)
        else:
            runs.append(([key], start, end))
    return [Span(tuple(found), (start.date(), end.date())) for found, start, end in runs]


def overtaken(
    lake: Lake, tables: Sequence[str], seen: int, partitioning: Partitioning, keys: Sequence[str]
) -> list[str]:
    """The keys whose rows a load of one of the staging `tables` changed after the snapshot `seen`."""
    days = lake.read(partial(_changed_days, [table for table in tables if table.startswith("staging.")], seen))
    if not partitioning.dimensions:
        return list(keys) if days else []
    (dimension,) = partitioning.dimensions
    windows = {key: dimension.window(key) for key in keys}
    return [key for key, (start, end) in windows.items() if any(start.date() <= day < end.date() for day in days)]


def _changed_days(tables: Sequence[str], seen: int, con: duckdb.DuckDBPyConnection) -> set[date]:
    days: set[date] = set()
    for table in tables:
        changed = {load.partition_key for load in loads_since(con, seen, table, outcome="committed")}
        # Rows may have left the days of the load that was replaced.
        earlier = loads_since(con, -1, table, outcome="committed") if changed else []
        days |= {day for load in earlier if load.partition_key in changed for day in load.business_days}
    return days


def _build_span(building: Building, span: Span, version: int) -> dict[str, list[Outcome]]:
    """Builds a span; one in which SQL fails by its ends and its halves, so that a day that breaks a model fails alone."""
    try:
        return _build(building, span, version, whole=len(span.keys) == 1)
    except _SqlFailed as failed:
        causes = failed.causes
    first, *between, last = (found for key in span.keys for found in spans(building.contracts[0].partition, [key]))
    parts = [_build(building, end, version, whole=True) for end in (first, last)]
    if not between:
        return _joined(parts)
    middle = Span(span.keys[1:-1], _around(between))
    if all(_broken_alike(building, part, causes) for part in parts):
        return _joined([*parts, _build(building, middle, version, whole=True)])  # no day's rows are to blame
    half = (len(between) + 1) // 2
    for days in (between[:half], between[half:]):
        if days and not stopping.asked():
            keys = tuple(key for day in days for key in day.keys)
            parts.append(_build_span(building, Span(keys, _around(days)), version))
    return _joined(parts)


def _around(days: Sequence[Span]) -> tuple[date, date] | None:
    first, last = days[0].window, days[-1].window
    return (first[0], last[1]) if first and last else None


def _joined(parts: Sequence[Mapping[str, Sequence[Outcome]]]) -> dict[str, list[Outcome]]:
    found: dict[str, list[Outcome]] = {}
    for part in parts:
        for name, outcomes in part.items():
            found.setdefault(name, []).extend(outcomes)
    return {name: sorted(outcomes, key=lambda outcome: outcome.partition_key) for name, outcomes in found.items()}


def _broken_alike(building: Building, part: Mapping[str, Sequence[Outcome]], causes: Mapping[str, str]) -> bool:
    """Whether each of these models failed here too, with the same words."""
    names = {contract.table: contract.name for contract in building.contracts}
    return all(cause in (outcome.load.error or "") for model, cause in causes.items() for outcome in part[names[model]])


def _build(building: Building, span: Span, version: int, *, whole: bool) -> dict[str, list[Outcome]]:
    """One run of dbt, and an audit and a commit per mart. Raises `_SqlFailed` when models fail, unless this is the
    `whole` matter: then they fail their partitions."""
    lake, stated = building.lake, {contract.table: contract for contract in building.contracts}
    manifest = read_manifest(manifest_path(lake.settings, building.dbt_dir))
    causes = _never_loaded(lake, lake_tables(manifest, set(stated)))
    models = [model for model in stated if model not in causes]
    outcomes, broken = dict[str, list[Outcome]](), dict[str, str]()
    reached("before dbt model")
    try:
        for trial in retrying():
            with (
                trial,
                built(lake.settings, models, _variables(building, span), building.dbt_dir, version) as candidates,
            ):
                reached("after dbt model")
                _refuse_lost(candidates.failed)
                if candidates.failed and not whole:
                    raise _SqlFailed(candidates.failed)
                broken = {
                    model: f"{cause}. Fix: {_mended_by(cause)}, then build it again"
                    for model, cause in candidates.failed.items()
                }
                outcomes = _audited(building, candidates, span, version, parents(manifest))
    except ContractError:
        raise
    except PlatformError as error:
        return {each.name: _failed(building, each, span.keys, str(error)) for each in building.contracts}
    causes |= broken
    for model in (model for model in stated if model in causes):
        cause = f"The dbt model `{model}` was not built: {causes[model]}"
        outcomes[stated[model].name] = _failed(building, stated[model], span.keys, cause)
    return outcomes


def _variables(building: Building, span: Span) -> dict[str, Any]:
    variables: dict[str, Any] = {
        "calendar_start": building.lake.settings.start_date.isoformat(),
        "file_format": FILE_FORMAT,
        "partition_by": {contract.table: list(contract.partition.columns) for contract in building.contracts},
    }
    if span.window:
        variables |= {"window_start": span.window[0].isoformat(), "window_end": span.window[1].isoformat()}
    return variables


def _refuse_lost(failed: Mapping[str, str]) -> None:
    """A connection that was lost is no model's fault, and may be had again."""
    for model, cause in failed.items():
        if is_lost(cause):
            raise LakeError(
                f"The dbt model `{model}` was not built: {cause}", fix="data-platform doctor", transient=True
            )


def _audited(
    building: Building, candidates: Candidates, span: Span, version: int, above: Mapping[str, frozenset[str]]
) -> dict[str, list[Outcome]]:
    """Judges and commits what was built, mart by mart: what stands in the way of one does not undo the others."""
    stated = {contract.table: contract for contract in building.contracts}
    outcomes: dict[str, list[Outcome]] = {}
    failed: dict[str, set[str]] = {}
    with _attached(building.lake, candidates) as (con, database):
        for model in candidates.built:
            upstream = set().union(*(failed.get(parent, set()) for parent in above.get(model, ())))
            relation, files = f"{database}.main.{ident(model)}", candidates.files(model)
            try:
                found = build_mart(
                    building.lake, stated[model], con, relation, span.keys, building.run_id, upstream, building.on_done,
                    version, files,
                )  # fmt: skip
            except ContractError:
                raise
            except PlatformError as error:
                found = _failed(building, stated[model], span.keys, str(error))
            failed[model] = {outcome.partition_key for outcome in found if not outcome.committed}
            outcomes[stated[model].name] = found
    return outcomes


def _mended_by(cause: str) -> str:
    """dbt knows the contract by files that are generated from it."""
    if "missing in contract" in cause or "missing in definition" in cause:
        return f"if the contract was changed: {dbt_yml.WRITE}; if not, correct dbt/models"
    return "correct dbt/models"


def _never_loaded(lake: Lake, reads: Mapping[str, frozenset[str]]) -> dict[str, str]:
    """The models that read a table the lake does not have yet, with the cause."""
    sql = "SELECT schema_name || '.' || table_name FROM duckdb_tables() WHERE database_name = 'lake'"
    present = {name for (name,) in lake.read(lambda con: con.execute(sql).fetchall())}
    causes = {}
    for model, tables in reads.items():
        for table in sorted(tables - present):
            key = table.replace(".", "/")
            causes[model] = f"`{table}` was never loaded. Fix: data-platform backfill 'key:\"{key}\"+'"
            break
    return causes


def _failed(building: Building, contract: Contract, keys: Sequence[str], cause: str) -> list[Outcome]:
    load = LoadRecord(
        asset=contract.name, partition_key="", run_id=building.run_id, outcome="failed",
        contract_version=contract.version, error=cause,
    )  # fmt: skip
    loads = [replace(load, partition_key=key, load_id=uuid.uuid4().hex) for key in keys]
    with suppress(PlatformError):  # the outcome tells of it even where the ledger cannot: the disk may be full
        building.lake.record_failures(loads)
    outcomes = [Outcome(load) for load in loads]
    if building.on_done:
        for outcome in outcomes:
            building.on_done(outcome)
    return outcomes


@contextmanager
def _attached(lake: Lake, candidates: Candidates) -> Iterator[tuple[duckdb.DuckDBPyConnection, str]]:
    """A connection to the lake that sees the candidates too, and the name of their database there. The engine is
    shared with other connections, hence a name of its own."""
    database = f"build_{uuid.uuid4().hex}"
    con = lake.connect()
    try:
        con.execute(f"ATTACH {text(str(candidates.path))} AS {database} (READ_ONLY)")
        try:
            yield con, database
        finally:
            con.execute(f"DETACH {database}")
    finally:
        con.close()
