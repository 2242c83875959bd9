"""The groups, in the order in which they are run and shown."""

from __future__ import annotations

from benchmarks.groups import limit, memory, partitions, quality, start, writers
from benchmarks.harness import Group

GROUPS: tuple[Group, ...] = (
    limit.GROUP, partitions.GROUP, start.GROUP, memory.GROUP, writers.GROUP, quality.GROUP,
)  # fmt: skip
