"""What must not have changed between judging rows and committing them: other loads that took a key, raw partitions and
decisions that came in between. Asked before judging, and again inside the gate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import duckdb

from data_platform.contracts.model import Contract
from data_platform.contracts.partitioning import Values
from data_platform.errors import KeyConflict
from data_platform.lake.ledger import UNPRUNED
from data_platform.lake.patches import count_patches
from data_platform.lake.sql import names, table_name
from data_platform.quality.keys import holds_key
from data_platform.quality.raw_rows import in_partitions

KEY_RETRIES = 5
"""How often rows are judged again because another load came first."""


def refuse_taken_keys(
    contract: Contract, partitions: Sequence[Values], expected: int, con: duckdb.DuckDBPyConnection
) -> None:
    """Runs inside the gate and sees the new rows. Nothing to do unless another load of this table committed since we
    judged. Raises `KeyConflict`."""
    if contract.key is None or committed_loads(con, contract) == expected:
        return
    keys, table, ours = names(contract.key.columns), table_name(contract.name).sql, in_partitions(contract, partitions)
    taken = con.execute(f"""
        SELECT {keys} FROM {table} WHERE {ours} AND {holds_key(contract)}
        INTERSECT SELECT {keys} FROM {table} WHERE NOT {ours} LIMIT 1""").fetchone()
    if taken:
        raise KeyConflict(f"`{contract.name}`: a key was committed by another partition while this load was judged.")


def refuse_stale_inputs(
    contract: Contract, read: Mapping[str, str], decided: int, con: duckdb.DuckDBPyConnection
) -> None:
    """Runs inside the gate: what was judged must not replace what came after; and before a failure is recorded, which may
    have its cause there. `read` is the raw load that was judged, by partition key, `decided` the number of patches.
    Raises `KeyConflict`, as a lost race."""
    rows = con.execute(
        f"SELECT partition_key, arg_max(load_id, snapshot_id) FROM lake.ops.loads "
        f"WHERE asset = ? AND {UNPRUNED.format('outcome')} = 'committed' GROUP BY 1", [f"raw.{contract.table}"],
    ).fetchall()  # fmt: skip
    loads = dict(rows)
    if decided != count_patches(con, contract.name) or any(loads.get(key) != load for key, load in read.items()):
        raise KeyConflict(f"`{contract.name}`: a raw partition or a decision came in while this load was judged.")


def committed_loads(con: duckdb.DuckDBPyConnection, contract: Contract) -> int:
    row = con.execute(
        f"SELECT count(*) FROM lake.ops.loads WHERE asset = ? AND {UNPRUNED.format('outcome')} = 'committed'",
        [contract.name],
    ).fetchone()
    return int(row[0]) if row else 0
