"""Why a judged partition must not commit. Asked by the load, and by who looks at what a load would do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from data_platform.contracts.model import Contract
from data_platform.lake.outcomes import RuleResult
from data_platform.quality.counting import Counts

LIMIT_MIN_ROWS = 50  # a share says little of a handful of rows


class Refusal(NamedTuple):
    """What is wrong with the partition, and the way to mend it."""

    said: str
    fix: str


def refusal(contract: Contract, read: int, counts: Counts, judged: Sequence[RuleResult]) -> Refusal | None:
    """The first reason, if there is any. `read` is rows as the reader counted them, `judged` the verdicts on the
    partition as a whole."""
    return next(_refusals(contract, read, counts, judged), None)


def _refusals(contract: Contract, read: int, counts: Counts, judged: Sequence[RuleResult]) -> Iterator[Refusal]:
    fates = counts.accepted + counts.quarantined + counts.merged
    if fates != read:
        yield Refusal(
            f"{read} rows were read and {fates} accounted for; nothing was committed.",
            f"load `raw.{contract.table}` again, then this partition",
        )
    for rule in contract.rules:
        broken = counts.by_rule.get(rule.name, 0)
        if rule.action == "fail" and broken and not rule.threshold.passes(broken, read):
            yield Refusal(
                f"{broken} rows break `{rule.name}` (expected {rule.expected}), whose action is `fail`.",
                "correct the file, load raw and then this partition again",
            )
        if rule.threshold.fails(broken, read):
            yield Refusal(
                f"{broken} of {read} rows break `{rule.name}`, more than its threshold {rule.threshold.fail_above}.",
                "correct the feed, or change the threshold in the contract",
            )
    for result in judged:
        if result.action == "fail" and not result.passed:
            yield Refusal(
                f"`{result.rule}` expected {result.expected}; {result.actual}.",
                "correct the file, load raw and then this partition again",
            )
    # Rows that wait for their parent, or that somebody discarded, say nothing against the file.
    bad = counts.quarantined - counts.held - counts.discarded
    share = bad / read if read else 0.0
    if share > contract.quarantine_limit and bad >= LIMIT_MIN_ROWS:
        aside = {rule.name for rule in contract.rules if rule.action in ("quarantine", "fail")}
        worst = max(sorted(aside & set(counts.by_rule)), key=lambda name: counts.by_rule[name], default="")
        yield Refusal(
            f"{share:.0%} of {read} rows would be quarantined (limit {contract.quarantine_limit:.0%}), most by `{worst}`.",
            "correct the feed, or raise `quarantine_limit` in the contract",
        )
