"""Partition keys in a row, as people read them. No Dagster."""

from __future__ import annotations

from collections.abc import Collection, Sequence


def spans(keys: Collection[str], ordered: Sequence[str]) -> list[list[str]]:
    """`keys` as rows of neighbours in `ordered`, which has every key there is."""
    found, previous = list[list[str]](), False
    wanted = set(keys)
    for key in ordered:
        if key in wanted:
            if previous:
                found[-1].append(key)
            else:
                found.append([key])
        previous = key in wanted
    return found


def span_text(span: Sequence[str]) -> str:
    """`first … last`, or the one key."""
    return span[0] if len(span) == 1 else f"{span[0]} … {span[-1]}"
