"""What dbt's manifest says of the marts: who is built from whom, and which tables of the lake a build reads."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from data_platform.errors import LakeError

Manifest = Mapping[str, Any]


@lru_cache(maxsize=2)
def read_manifest(path: Path) -> Manifest:
    """The manifest as a document; read once per process and version of the project. Raises `LakeError` for one that a
    crash left in pieces."""
    try:
        found: Manifest = json.loads(path.read_bytes())
    except ValueError:
        raise LakeError(
            f"`{path}`, what dbt's project was parsed to, is damaged.", fix=f"rm -r {path.parent}, and run it again"
        ) from None
    return found


def parents(manifest: Manifest) -> dict[str, frozenset[str]]:
    """Each mart's parents among the marts, looking through ephemeral models."""
    marts = _marts(manifest)
    names = {unique_id: node["name"] for unique_id, node in marts.items()}
    return {
        names[mart]: frozenset(names[found] for found in _above(manifest, mart) if found in marts) for mart in marts
    }


def lake_tables(manifest: Manifest, built: Collection[str]) -> dict[str, frozenset[str]]:
    """The tables of the lake that each of the models `built` together reads, itself or through the others: staging
    tables, and marts that are not built with it."""
    marts, found = _marts(manifest), dict[str, frozenset[str]]()
    for mart, node in marts.items():
        if node["name"] in built:
            found[node["name"]] = frozenset(_reads(manifest, marts, mart, built))
    return found


def _reads(manifest: Manifest, marts: Manifest, mart: str, built: Collection[str]) -> set[str]:
    found: set[str] = set()
    for parent in _above(manifest, mart):
        if parent in manifest["sources"]:
            source = manifest["sources"][parent]
            found.add(f"{source['schema']}.{source['name']}")
        elif parent in marts:
            name = marts[parent]["name"]
            found |= _reads(manifest, marts, parent, built) if name in built else {f"marts.{name}"}
    return found


def _marts(manifest: Manifest) -> dict[str, Any]:
    return {
        unique_id: node
        for unique_id, node in manifest["nodes"].items()
        if node["resource_type"] == "model" and node["config"]["materialized"] != "ephemeral"
    }


def _above(manifest: Manifest, unique_id: str) -> set[str]:
    """Ids of what a node reads, with ephemeral models replaced by what they read."""
    found: set[str] = set()
    for parent in manifest["nodes"][unique_id]["depends_on"]["nodes"]:
        node = manifest["nodes"].get(parent)
        is_ephemeral = node is not None and node["config"].get("materialized") == "ephemeral"
        found |= _above(manifest, parent) if is_ephemeral else {parent}
    return found
