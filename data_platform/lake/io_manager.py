"""`LakeIOManager`: assets take and give frames, and the lake keeps them. One commit per run of an asset.

Frames are `frames.py`, writing is `Lake`. On Dagster's public API alone: its `DbIOManager` is not public.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import dagster as dg
import duckdb

from data_platform.contracts.model import Contract
from data_platform.errors import LakeError, LoadFailed, PlatformError
from data_platform.lake import frames, ledger
from data_platform.lake.base_io_manager import allows_missing, target_of
from data_platform.lake.hashing import HASH_ALGORITHM, content_hash_sql
from data_platform.lake.keys import Target, refuse_foreign
from data_platform.lake.lake import Audit, Lake, Slice, StagedFile, get_lake
from data_platform.lake.outcomes import LoadRecord
from data_platform.lake.sql import ident, partitions_condition, table_name, text, texts
from data_platform.lake.staging import Shape, need_shape, read_shape

log = logging.getLogger(__name__)
_GIVEN = "_io_given"
_STAGED = "_io_staged"
AuditHook = Callable[[Contract | None, duckdb.DuckDBPyConnection, str, Sequence[str]], list[Audit]]


class LakeIOManager(dg.ConfigurableIOManager):
    """Keeps an asset with the key `[layer, table]` in the lake's table `layer.table`.

    Takes pandas, pyarrow, DuckDB relations (of any connection) and ibis tables; gives what the input's annotation
    names. Columns go by name and are cast to the asset's contract, where it has one. The partitions of the run are
    replaced in one commit, with a row in the ledger for each; a partition without rows is recorded and empty. The
    partition column comes from the contract, or from the metadata `partition_expr`."""

    def audit(
        self,
        contract: Contract | None,  # noqa: ARG002
        con: duckdb.DuckDBPyConnection,  # noqa: ARG002
        relation: str,  # noqa: ARG002
        keys: Sequence[str],  # noqa: ARG002
    ) -> list[Audit]:
        """For a subclass: judges the staged rows in `relation` before they are committed. A partition whose audit did
        not pass keeps its old rows, and the run fails. By default nothing is judged. Their load ids are filled in."""
        return []

    def lake(self) -> Lake:
        """The lake to use; for a subclass to replace."""
        return get_lake()

    def handle_output(self, context: dg.OutputContext, obj: object) -> None:
        """Writes the run's partitions; `None` writes nothing. What raises is in the ledger too."""
        if obj is None:
            return
        lake = self.lake()
        write = _Write(lake, target_of(context), context.run_id, self.audit)
        try:
            context.add_output_metadata(write.run(obj))
        except Exception as error:
            try:
                lake.record_failures(write.failures(str(error)))
            except PlatformError as other:
                log.warning("the failure could not be recorded: %s", other)
            raise

    def load_input(self, context: dg.InputContext) -> object:
        """Reads the input's partitions. Raises `LakeError` for one that was never loaded, unless the input's metadata
        says `allow_missing_partitions`."""
        target = target_of(context)
        table, wanted = table_name(target.name), context.dagster_type.typing_type
        con = self.lake().connect()
        sql = f"SELECT * FROM {table.sql}"
        if target.partitioning.dimensions:
            rows_of = target.name.replace("published.", "marts.")
            shape = need_shape(con, table_name(rows_of))
            if not allows_missing(context):
                _refuse_missing(con, target)
            partitions = [shape.texts(table, values) for values in target.values]
            sql += f" WHERE {partitions_condition(shape.partition_types, partitions) if partitions else 'false'}"
        return frames.deliver(con, sql, wanted)


class _Write:
    """One output on its way into the lake."""

    def __init__(self, lake: Lake, target: Target, run_id: str, audit: AuditHook) -> None:
        self._lake, self._target, self._audit = lake, target, audit
        self._began, now = time.monotonic(), ledger.utc_now()
        self._loads = {key: LoadRecord(target.name, key, run_id, "failed", started_at=now) for key in target.keys}

    def failures(self, error: str) -> list[LoadRecord]:
        """The loads that were not committed."""
        open_loads = [load for load in self._loads.values() if load.outcome == "failed"]
        return [replace(load, error=load.error or error, seconds=self._seconds()) for load in open_loads]

    def run(self, frame: object) -> dict[str, Any]:
        """Stages, audits and commits; returns metadata for the UI."""
        con = self._lake.connect()
        try:
            shape = self._ensure(con, frame)
            files = self._stage(con, shape)
            try:
                self._measure(con, shape, files)
                audits = self._judged(con)
            except BaseException:
                self._lake.discard(files)
                raise
            return self._commit(shape, files, audits)
        finally:
            con.close()

    def _ensure(self, con: duckdb.DuckDBPyConnection, frame: object) -> Shape:
        target, table = self._target, table_name(self._target.name)
        con.register(_GIVEN, frames.batches(frame, has_contract=target.contract is not None))
        found = {} if target.contract else frames.own_types(con, _GIVEN)
        existing = read_shape(con, table)
        # A column that exists keeps its type, and rows are cast to it: a frame of empty columns has no types to go by.
        known = {name: kind for name, kind in existing.columns.items() if name in found} if existing else {}
        self._lake.ensure_table(con, target.name, target.typed(found | known), target.partitioning.columns)
        return need_shape(con, table)

    def _stage(self, con: duckdb.DuckDBPyConnection, shape: Shape) -> list[StagedFile]:
        target, rows = self._target, f"SELECT * FROM {_GIVEN}"
        if len(target.keys) == 1:
            file = self._lake.stage(con, target.name, rows, target.values[0])
            return [file] if file else []
        files = self._lake.stage_many(con, target.name, rows)
        try:
            refuse_foreign(target, (shape.key(file.partition) for file in files))
        except PlatformError:
            self._lake.discard(files)
            raise
        return files

    def _measure(self, con: duckdb.DuckDBPyConnection, shape: Shape, files: Sequence[StagedFile]) -> None:
        """Counts and hashes what was staged, partition by partition, into the load records."""
        con.execute(f"CREATE OR REPLACE TEMP VIEW {_STAGED} AS {_staged_sql(shape, files)}")
        stated = self._target.contract
        columns = {c.name: c.duckdb_type for c in stated.columns.values()} if stated else dict(shape.columns)
        parts = ", ".join(ident(name) for name in shape.partition_by)
        group = f" GROUP BY {parts}" if parts else ""
        sql = f"SELECT count(*), {content_hash_sql(columns)}{', ' + parts if parts else ''} FROM {_STAGED}"
        found = {
            shape.key(dict(zip(shape.partition_by, values, strict=True))): (rows, content)
            for rows, content, *values in con.execute(sql + group).fetchall()
        }
        (empty,) = con.execute(f"SELECT {content_hash_sql(columns)} FROM {_STAGED} WHERE false").fetchone() or ("",)
        for key, load in self._loads.items():
            rows, content = found.get(key, (0, empty))
            self._loads[key] = replace(
                load, rows_read=rows, rows_accepted=rows, content_hash=content, hash_algorithm=HASH_ALGORITHM,
                contract_version=stated.version if stated else 0,
            )  # fmt: skip

    def _judged(self, con: duckdb.DuckDBPyConnection) -> list[Audit]:
        audits = self._audit(self._target.contract, con, _STAGED, self._target.keys)
        return [replace(audit, load_id=self._loads[audit.partition_key].load_id) for audit in audits]

    def _commit(self, shape: Shape, files: Sequence[StagedFile], audits: Sequence[Audit]) -> dict[str, Any]:
        target, seconds = self._target, self._seconds()
        bad = {audit.partition_key: audit for audit in audits if not audit.passed}
        grouped: dict[str, list[StagedFile]] = {key: [] for key in target.keys}
        for file in files:
            grouped[shape.key(file.partition)].append(file)
        self._lake.discard([file for key in bad for file in grouped[key]])
        good = {
            key: replace(load, outcome="committed", seconds=seconds)
            for key, load in self._loads.items()
            if key not in bad
        }
        slices = [Slice(target.name, target.partitioning.values(key), tuple(grouped[key])) for key in good]
        version = self._lake.commit(slices, tuple(good.values()), audits) if good or audits else None
        self._loads |= good
        for key, audit in bad.items():
            rules = ", ".join(audit.failed_rules)
            self._loads[key] = replace(self._loads[key], error=f"failed its audit: {rules}", rows_accepted=0)
        if bad:
            raise LoadFailed(
                f"`{target.name}`: {', '.join(bad)} failed the audit and kept the old rows.", fix="mend the rows"
            )
        rows = sum(load.rows_accepted for load in good.values())
        name = "dagster/row_count" if not target.partitioning.dimensions else "dagster/partition_row_count"
        return {name if len(good) == 1 else "rows": rows, "table": target.name, "lake_version": version}

    def _seconds(self) -> float:
        return time.monotonic() - self._began


def _staged_sql(shape: Shape, files: Sequence[StagedFile]) -> str:
    """A SELECT of all staged rows with all columns of the table, none when nothing was staged."""
    if not files:
        columns = ", ".join(f"CAST(NULL AS {kind}) AS {ident(name)}" for name, kind in shape.columns.items())
        return f"SELECT {columns} WHERE false"
    columns = ", ".join(f"CAST({ident(name)} AS {kind}) AS {ident(name)}" for name, kind in shape.columns.items())
    hive = ""
    if shape.partition_by:
        types = ", ".join(f"{text(name)}: {kind}" for name, kind in shape.partition_types.items())
        hive = f", hive_partitioning => true, hive_types => {{{types}}}"
    return f"SELECT {columns} FROM read_parquet({texts(str(file.path) for file in files)}{hive})"


def _refuse_missing(con: duckdb.DuckDBPyConnection, target: Target) -> None:
    """Raises `LakeError` for partitions that no load ever wrote: an empty one would be recorded."""
    if target.name.startswith("published."):
        return
    loaded = {load.partition_key for load in ledger.latest_loads(con, target.name)}
    missing = [key for key in target.keys if key not in loaded]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise LakeError(
            f"`{target.name}` was never loaded for `{missing[0]}`{more}.",
            fix=f"load it: data-platform backfill {target.name.replace('.', '/')}",
        )
