"""Opening a lake and making its tables: schemas, columns, partitioning. Rows are not touched here."""

from __future__ import annotations

from collections.abc import Mapping

import duckdb

from data_platform.errors import LakeError
from data_platform.lake import ledger
from data_platform.lake.attach import Attachment
from data_platform.lake.commit import rollback
from data_platform.lake.gate import Gate
from data_platform.lake.sql import LAYERS, TableName, ident, partition_column, type_name
from data_platform.lake.staging import Shape, read_shape

_WIDER = (("TINYINT", "SMALLINT", "INTEGER", "BIGINT"), ("FLOAT", "DOUBLE"))
_PARTITION_TYPES = ("DATE", "TIMESTAMP", "VARCHAR", "BOOLEAN", "TINYINT", "SMALLINT", "INTEGER", "BIGINT")


def attach(con: duckdb.DuckDBPyConnection, at: Attachment, *, read_only: bool = False) -> bool:
    """Attaches the lake as `lake`; False when there is none, or one whose ledger is not as this version has it."""
    return _attach(con, at, read_only=read_only) and not _missing_of_ledger(con)


def make(con: duckdb.DuckDBPyConnection, at: Attachment, gate: Gate) -> None:
    """Makes the lake, or widens the ledger that an earlier version made, and attaches it. Processes race to do so: under
    the gate it is done once. Raises `CatalogError` when the lake's files are there and the catalog is not."""
    with gate.hold():
        if attach(con, at):
            return
        is_new = not _attach(con, at, read_only=False) or ("loads", "load_id") in _missing_of_ledger(con)
        if is_new and at.has_files:
            raise at.lost_catalog()
        con.execute("DETACH DATABASE IF EXISTS lake")
        con.execute(at.sql(create=True))
        con.execute("CALL lake.set_option('data_inlining_row_limit', 0)")
        con.execute("BEGIN TRANSACTION")
        for layer in LAYERS:
            con.execute(f"CREATE SCHEMA IF NOT EXISTS lake.{ident(layer)}")
        for statement in ledger.create_sql():
            con.execute(statement)
        for (table, column), kind in _missing_of_ledger(con).items():
            con.execute(f"ALTER TABLE lake.ops.{ident(table)} ADD COLUMN {ident(column)} {kind}")
        con.execute("COMMIT")


def _attach(con: duckdb.DuckDBPyConnection, at: Attachment, *, read_only: bool) -> bool:
    """Attaches an existing lake; False when there is none."""
    con.execute("DETACH DATABASE IF EXISTS lake")
    if not at.exists():
        return False
    try:
        con.execute(at.sql(read_only=read_only))
    except duckdb.Error as error:
        if "creating a new DuckLake is explicitly disabled" in str(error):
            return False
        raise
    return True


def _missing_of_ledger(con: duckdb.DuckDBPyConnection) -> dict[tuple[str, str], str]:
    """The columns that the ledger's tables lack, with their types: all of them when the lake was not made to the end."""
    found = con.execute(
        "SELECT table_name, column_name FROM duckdb_columns() WHERE database_name = 'lake' AND schema_name = 'ops'"
    ).fetchall()
    return {
        (table, column): kind
        for table, columns in ledger.TABLES.items()
        for column, kind in columns.items()
        if (table, column) not in found
    }


def ensure(
    con: duckdb.DuckDBPyConnection,
    gate: Gate,
    table: TableName,
    columns: Mapping[str, str],
    partition_by: tuple[str, ...],
) -> None:
    """Makes the table, adds the columns it lacks, widens those that are to be wider."""
    wanted = _wanted(con, table, columns, partition_by)
    if _settled(table, read_shape(con, table), wanted):
        return
    with gate.hold():
        shape = read_shape(con, table)
        if _settled(table, shape, wanted):
            return
        con.execute("BEGIN TRANSACTION")
        try:
            _build(con, table, shape, wanted)
            con.execute("COMMIT")
        except BaseException:
            rollback(con)
            raise


def _build(con: duckdb.DuckDBPyConnection, table: TableName, shape: Shape | None, wanted: Shape) -> None:
    if shape is None:
        stated = ", ".join(f"{ident(name)} {kind}" for name, kind in wanted.columns.items())
        con.execute(f"CREATE TABLE {table.sql} ({stated})")
        if wanted.partition_by:
            con.execute(
                f"ALTER TABLE {table.sql} SET PARTITIONED BY ({', '.join(ident(name) for name in wanted.partition_by)})"
            )
    else:
        for name, kind in wanted.columns.items():
            if name not in shape.columns:
                con.execute(f"ALTER TABLE {table.sql} ADD COLUMN {ident(name)} {kind}")
            elif shape.columns[name] != kind:
                con.execute(f"ALTER TABLE {table.sql} ALTER COLUMN {ident(name)} SET DATA TYPE {kind}")
    con.execute(
        "CALL lake.set_commit_message('data-platform', ?, extra_info => '{\"load_ids\": []}')", [f"shape of {table}"]
    )


def _wanted(
    con: duckdb.DuckDBPyConnection, table: TableName, columns: Mapping[str, str], partition_by: tuple[str, ...]
) -> Shape:
    """The shape asked for, types in the engine's spelling. Raises `LakeError` for one that cannot be."""
    if len({name.lower() for name in columns}) != len(columns):
        raise LakeError(f"`{table}` has two columns whose names differ in case alone.", fix="rename one")
    kinds = ", ".join(f"typeof(CAST(NULL AS {type_name(kind)}))" for kind in columns.values())
    row = con.execute(f"SELECT {kinds}").fetchone() if columns else None
    shape = Shape(dict(zip(columns, row or (), strict=True)), partition_by)
    for name in partition_by:
        kind = shape.columns.get(partition_column(name))
        if kind not in _PARTITION_TYPES:
            raise LakeError(
                f"`{table}` cannot be partitioned by `{name}` of type {kind}.", fix=f"use {', '.join(_PARTITION_TYPES)}"
            )
    if not set(columns) - set(partition_by):
        raise LakeError(f"`{table}` needs a column besides its partition columns.")
    return shape


def _settled(table: TableName, found: Shape | None, wanted: Shape) -> bool:
    """Whether the table has all that is wanted. Raises `LakeError` for what adding columns cannot mend."""
    if found is None:
        return False
    for name, kind in wanted.columns.items():
        if name in found.columns and found.columns[name] != kind and not _widens(found.columns[name], kind):
            raise LakeError(
                f"`{table}`.`{name}` is {found.columns[name]} in the lake and {kind} in its contract.",
                fix="give the changed column a new name; columns are added and widened, never narrowed",
            )
    if found.partition_by != wanted.partition_by:
        raise LakeError(
            f"`{table}` is partitioned by {list(found.partition_by)} in the lake, not by {list(wanted.partition_by)}."
        )
    return all(found.columns.get(name) == kind for name, kind in wanted.columns.items())


def _widens(old: str, new: str) -> bool:
    """Whether every value of the old type is one of the new, and the files that have the old one stay as they are."""
    return any(old in kinds and new in kinds[kinds.index(old) :] for kinds in _WIDER)
