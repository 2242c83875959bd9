"""What a backfill will do: a selection and two dates resolved to assets × partitions. Nothing runs here.

Assets are run in waves: one wave holds assets of one partitions definition, and the unpartitioned ones among them,
whose selected parents are in the same wave or an earlier one. Daily tables and their dimensions are one wave.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property

import dagster as dg

from data_platform.errors import UsageError, did_you_mean
from data_platform.partitions import keys_between, name_of, window_of

Definition = dg.PartitionsDefinition[str]
_KEY_TERM = re.compile(r'\bkey\s*:\s*(?:"([^"]*)"|([^\s()+"]+))')


@dataclass(frozen=True)
class Item:
    """One partition of one asset; `partition` is empty for an unpartitioned asset."""

    asset: dg.AssetKey
    partition: str = ""

    def __str__(self) -> str:
        name = self.asset.to_user_string()
        return f"{name} [{self.partition}]" if self.partition else name


@dataclass(frozen=True)
class Wave:
    """Assets that one run can hold, in topological order, and the partitions of the partitioned ones."""

    definition: Definition | None
    assets: tuple[dg.AssetKey, ...]


@dataclass(frozen=True)
class Plan:
    """`keys` holds the partitions of each selected asset, in topological order of the assets; `['']` when it has none."""

    keys: Mapping[dg.AssetKey, Sequence[str]]
    definitions: Mapping[dg.AssetKey, Definition | None]
    parents: Mapping[dg.AssetKey, frozenset[dg.AssetKey]] = field(repr=False)

    def items(self) -> Iterator[Item]:
        for asset, keys in self.keys.items():
            for key in keys:
                yield Item(asset, key)

    @cached_property
    def size(self) -> int:
        return sum(len(keys) for keys in self.keys.values())

    @cached_property
    def waves(self) -> tuple[Wave, ...]:
        left, waves = list(self.keys), list[Wave]()
        while left:
            definition = next((self.definitions[key] for key in left if self.definitions[key] is not None), None)
            members: list[dg.AssetKey] = []
            for key in left:
                fits = self.definitions[key] in (definition, None)
                if fits and all(parent in members or parent not in left for parent in self.parents[key]):
                    members.append(key)
            if all(self.definitions[key] is None for key in members):
                definition = None
            waves.append(Wave(definition, tuple(members)))
            left = [key for key in left if key not in members]
        return tuple(waves)

    def ancestors(self, asset: dg.AssetKey) -> frozenset[dg.AssetKey]:
        """Every selected asset upstream."""
        found: set[dg.AssetKey] = set()
        open_keys = list(self.parents[asset])
        while open_keys:
            key = open_keys.pop()
            if key not in found and key in self.keys:
                found.add(key)
                open_keys += self.parents[key]
        return frozenset(found)

    def depends(self, item: Item, parent: Item) -> bool:
        """Whether the parent's partition feeds the item's: the same key, or times that overlap. An unpartitioned
        table takes what its partitioned parents hold, so none of their partitions holds it up."""
        if parent.asset not in self.parents[item.asset]:
            return False
        own, theirs = self.definitions[item.asset], self.definitions[parent.asset]
        if theirs is None or own is None:
            return theirs is None
        if own == theirs:
            return item.partition == parent.partition
        mine, its = window_of(own, item.partition), window_of(theirs, parent.partition)
        return mine is None or its is None or (mine[0] < its[1] and its[0] < mine[1])

    def only(self, wanted: Mapping[dg.AssetKey, Sequence[str]]) -> Plan:
        """The part of this plan's assets with other partitions; assets without any are left out."""
        return Plan({key: wanted[key] for key in self.keys if wanted.get(key)}, self.definitions, self.parents)


def make_plan(defs: dg.Definitions, selection: str, start: date | None, end: date | None) -> Plan:
    """Resolves Dagster's selection syntax and the days from `start` to `end`, inclusive: every partition that overlaps.
    Raises `UsageError` for a selection, a name or a range that fits nothing."""
    if start and end and end < start:
        raise UsageError(f"`--to {end}` is before `--from {start}`.", fix="swap them")
    graph = defs.resolve_asset_graph()
    selected = _select(defs, selection)
    ordered = [key for key in graph.toposorted_asset_keys if key in selected]
    definitions = {key: graph.get(key).partitions_def for key in graph.get_all_asset_keys()}
    parents = {key: frozenset(graph.get(key).parent_keys) for key in graph.get_all_asset_keys()}
    keys: dict[dg.AssetKey, Sequence[str]] = {}
    ranges: dict[Definition, Sequence[str]] = {}
    for key in ordered:
        definition = definitions[key]
        if definition is None:
            keys[key] = [""]
            continue
        if definition not in ranges:
            ranges[definition] = keys_between(definition, start, end)
        if ranges[definition]:
            keys[key] = ranges[definition]
    plan = Plan(keys, definitions, parents)
    if not any(definitions[key] for key in keys) and ranges:
        raise UsageError(f"No partition lies {_between(start, end)}. {_known(ranges)}", fix="choose days within these")
    return plan


def _select(defs: dg.Definitions, selection: str) -> set[dg.AssetKey]:
    graph = defs.resolve_asset_graph()
    names = sorted(key.to_user_string() for key in graph.materializable_asset_keys)
    try:
        found = dg.AssetSelection.from_string(selection).resolve(graph)
    except dg.DagsterError as error:
        unknown = re.search(r"AssetKey\(s\) \[(.+?)\]", str(error))
        if unknown is None:
            known = 'key:"raw/orders"+, group:staging, * …; combine with and, or, not'
            raise UsageError(
                f"`{selection}` is no selection of assets.", fix=f"use Dagster's syntax: {known}"
            ) from None
        raise _no_such_asset(unknown.group(1).split(",")[0].strip(" '\""), names) from None
    every = {key.to_user_string() for key in graph.get_all_asset_keys()}
    terms = [quoted or plain for quoted, plain in _KEY_TERM.findall(selection)]
    for term in terms:
        # Dagster takes a name that none has for an empty set, also where it is to be left out.
        fits = re.compile(".*".join(map(re.escape, term.split("*"))))
        if not any(map(fits.fullmatch, every)):
            raise _no_such_asset(term, names)
    found = {key for key in found if key in graph.materializable_asset_keys}
    if not found:
        raise _no_such_asset(terms[0] if terms else selection, names)
    return found


def _no_such_asset(name: str, names: Sequence[str]) -> UsageError:
    near = did_you_mean(name, names) or f" There are {', '.join(f'`{known}`' for known in names[:8])} …"
    return UsageError(f"`{name}` selects no asset.{near}", fix="data-platform status lists the tables")


def _between(start: date | None, end: date | None) -> str:
    return " and ".join(filter(None, (f"on or after {start}" if start else "", f"on or before {end}" if end else "")))


def _known(ranges: Mapping[Definition, Sequence[str]]) -> str:
    texts = []
    for definition in ranges:
        keys = definition.get_partition_keys()
        texts.append(
            f"The {name_of(definition)} partitions run from {keys[0]} to {keys[-1]}." if keys else "There are none yet."
        )
    return " ".join(texts)
