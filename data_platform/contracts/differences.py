"""Two definitions of one table, compared in words. Plain data in and out; definitions come from `export.py`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Definition = Mapping[str, Any]


@dataclass(frozen=True)
class Difference:
    """One change: what `kind` of change, of which `name`, `said` in words."""

    kind: str
    name: str
    said: str

    def __str__(self) -> str:
        return self.said


def differences(old: Definition, new: Definition) -> list[Difference]:
    """What became of `old`, in order: columns, rules, key, foreign keys, partition, times, limits."""
    return [
        *_columns(_by_name(old["columns"]), _by_name(new["columns"])),
        *_rules(_by_name(old["rules"]), _by_name(new["rules"])),
        *_key(old["key"], new["key"]),
        *_foreign_keys(old["foreign_keys"], new["foreign_keys"]),
        *_partition(old["partition"], new["partition"]),
        *_times(old, new),
        *_limits(old, new),
    ]


def _by_name(entries: Sequence[Definition]) -> dict[str, Definition]:
    return {entry["name"]: entry for entry in entries}


def _columns(old: Mapping[str, Definition], new: Mapping[str, Definition]) -> Iterator[Difference]:
    for name, column in new.items():
        if name not in old:
            null = "nullable" if column["nullable"] else "not null"
            yield Difference("column added", name, f"column `{name}` added: {column['type']}, {null}")
    for name in old:
        if name not in new:
            yield Difference("column removed", name, f"column `{name}` removed")
    for name in (name for name in new if name in old):
        yield from _column(name, old[name], new[name])
    common_before, common_now = [name for name in old if name in new], [name for name in new if name in old]
    if common_before != common_now:
        moved = ", ".join(f"`{name}`" for name in common_now)
        yield Difference("column order changed", "", f"columns stand in another order: {moved}")


def _column(name: str, old: Definition, new: Definition) -> Iterator[Difference]:
    if old["type"] != new["type"]:
        yield Difference("type changed", name, f"column `{name}`: type {new['type']}, was {old['type']}")
    if old["nullable"] != new["nullable"]:
        said = "may be null now" if new["nullable"] else "must not be null any more"
        yield Difference("nullability changed", name, f"column `{name}` {said}")
    if old["source"] != new["source"]:
        said = f"column `{name}`: read from `{new['source']}`, was `{old['source']}`"
        yield Difference("source changed", name, said)
    if old["format"] != new["format"]:
        said = f"column `{name}`: format {_or(new['format'], 'ISO 8601')}, was {_or(old['format'], 'ISO 8601')}"
        yield Difference("format changed", name, said)
    for stated in ("aliases", "decimal"):
        # A definition that was recorded before these were stated has neither.
        if stated in old and old[stated] != new[stated]:
            said = f"column `{name}`: {stated} {_or(new[stated], 'none')}, was {_or(old[stated], 'none')}"
            yield Difference(f"{stated} changed", name, said)
    if old["pii"] != new["pii"]:
        said = f"column `{name}`: personal data {_or(new['pii'], 'none')}, was {_or(old['pii'], 'none')}"
        yield Difference("pii changed", name, said)
    if old["required"] != new["required"]:
        said = "must be in every file" if new["required"] else "may be left out by a file"
        yield Difference("required changed", name, f"column `{name}` {said} now")


def _rules(old: Mapping[str, Definition], new: Mapping[str, Definition]) -> Iterator[Difference]:
    for name, rule in new.items():
        if name not in old:
            said = f"rule `{name}` added: expected {rule['expected']}, else {rule['action']}"
            yield Difference("rule added", name, said)
    for name, rule in old.items():
        if name not in new:
            yield Difference("rule removed", name, f"rule `{name}` removed: expected {rule['expected']}")
    for name in (name for name in new if name in old):
        before, now = old[name], new[name]
        if before["action"] != now["action"]:
            said = f"rule `{name}`: action {now['action']}, was {before['action']}"
            yield Difference("action changed", name, said)
        if before["null"] != now["null"]:
            said = f"rule `{name}`: a check that gives NULL is a {now['null']} now"
            yield Difference("rule changed", name, said)
        if "threshold" in before and before["threshold"] != now["threshold"]:
            said = f"rule `{name}`: threshold (warn, fail above) {now['threshold']}, was {before['threshold']}"
            yield Difference("rule changed", name, said)
        # There was no such threshold before it was recorded.
        if before.get("alert_above") != now.get("alert_above"):
            said = f"rule `{name}`: alerts above {now.get('alert_above')}, was {before.get('alert_above')}"
            yield Difference("rule changed", name, said)
        # The key's rule is told of as the key.
        if now["kind"] != "key" and before["expected"] != now["expected"]:
            said = f"rule `{name}`: expected {now['expected']}, was {before['expected']}"
            yield Difference("rule changed", name, said)
        elif before["states"] != now["states"] and not (now["kind"] == "python" and not before["states"]):
            yield Difference("rule changed", name, f"rule `{name}`: the check behind the same words is another")


def _key(old: Definition | None, new: Definition | None) -> Iterator[Difference]:
    if old != new:
        yield Difference("key changed", "key", f"key: {_key_text(new)}, was {_key_text(old)}")


def _key_text(key: Definition | None) -> str:
    return f"({', '.join(key['columns'])}) once per {key['scope']}" if key else "none"


def _foreign_keys(old: Sequence[Definition], new: Sequence[Definition]) -> Iterator[Difference]:
    before, now = ({fk["column"]: fk for fk in keys} for keys in (old, new))
    for name, fk in now.items():
        if name not in before:
            yield Difference("foreign key added", name, f"foreign key added: {_foreign_text(fk)}")
        elif before[name] != fk:
            said = f"foreign key: {_foreign_text(fk)}, was {_foreign_text(before[name])}"
            yield Difference("foreign key changed", name, said)
    for name, fk in before.items():
        if name not in now:
            yield Difference("foreign key removed", name, f"foreign key removed: {_foreign_text(fk)}")


def _foreign_text(fk: Definition) -> str:
    more = f", touches `{fk['touches']}`" if fk["touches"] else ""
    return f"`{fk['column']}` to `{fk['references']}`.`{fk['to']}`{more}{', held' if fk['held'] else ''}"


def _partition(old: Sequence[Definition], new: Sequence[Definition]) -> Iterator[Difference]:
    if list(old) != list(new):
        said = f"partitioned by {_partition_text(new)}, was {_partition_text(old)}"
        yield Difference("partition changed", "partition", said)


def _partition_text(parts: Sequence[Definition]) -> str:
    return ", ".join(f"`{part['column']}` ({part['grain']})" for part in parts) or "nothing"


def _times(old: Definition, new: Definition) -> Iterator[Difference]:
    for name in ("event_time", "business_time"):
        if old[name] != new[name]:
            said = f"{name.replace('_', ' ')}: {_or(new[name], 'none')}, was {_or(old[name], 'none')}"
            yield Difference(f"{name.replace('_', ' ')} changed", name, said)


def _limits(old: Definition, new: Definition) -> Iterator[Difference]:
    """What a definition that was recorded before these were kept does not tell is no difference."""
    for name in ("drift", "quarantine_limit"):
        if name in old and old[name] != new[name]:
            said = f"{name.replace('_', ' ')}: {new[name]}, was {old[name]}"
            yield Difference(f"{name.replace('_', ' ')} changed", name, said)


def _or(value: str | None, otherwise: str) -> str:
    return f"`{value}`" if value else otherwise
