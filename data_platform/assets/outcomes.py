"""Turns the outcomes of loads into what Dagster records: materialisations, check evaluations, a failure.

A range step that returns marks all its partitions materialised, so when some failed the good ones are logged one by
one and the step raises. In a range each rule gets one verdict for the whole range, and one per partition where rows
broke it: an event costs about 12 ms, and 17 rules over 90 days would cost 18 s per table.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import dagster as dg

from data_platform.assets.metadata import load_metadata, verdict_metadata
from data_platform.assets.naming import check_name, severity, table_of
from data_platform.assets.progress import done
from data_platform.lake.outcomes import Outcome, RuleResult

DETAILED_PARTITIONS = 31  # a longer range keeps the verdicts per partition in the ledger and the partition's metadata


def partition_keys(context: dg.AssetExecutionContext) -> Sequence[str]:
    """The keys this step works on; `['']` for an unpartitioned asset."""
    return context.partition_keys if context.has_partition_key_range or context.has_partition_key else [""]


def report(context: dg.AssetExecutionContext, key: dg.AssetKey, outcomes: Sequence[Outcome]) -> dg.MaterializeResult[None]:
    """Records one outcome per partition of one asset. Raises `dagster.Failure` naming the partitions that failed,
    after the good ones are recorded; a permanent failure, so Dagster does not retry it."""
    result = collect(context, key, outcomes)
    failed = [outcome for outcome in outcomes if not outcome.committed]
    if failed:
        log_good(context, key, outcomes)
        raise failure(key, failed)
    return result


def collect(context: dg.AssetExecutionContext, key: dg.AssetKey, outcomes: Sequence[Outcome]) -> dg.MaterializeResult[None]:
    """The result of an asset whose partitions are all good. Metadata per partition is added to the context."""
    for outcome in outcomes:
        done(key, outcome.partition_key)
    good = [outcome for outcome in outcomes if outcome.committed]
    if len(good) == len(outcomes):
        for outcome in good:
            if outcome.partition_key:
                context.add_asset_metadata(load_metadata(outcome), key, outcome.partition_key)
        _log_partition_checks(context, key, outcomes)
    metadata = load_metadata(good[0]) if len(good) == 1 and not good[0].partition_key else {}
    checks = [_result(key, verdict) for verdict in _verdicts(context, key, outcomes)]
    return dg.MaterializeResult(asset_key=key, metadata=metadata, check_results=checks)


def log_good(context: dg.AssetExecutionContext, key: dg.AssetKey, outcomes: Sequence[Outcome]) -> None:
    """Logs the materialisations of the good partitions and every verdict, for a step that is about to raise."""
    for outcome in outcomes:
        if outcome.committed:
            context.log_event(
                dg.AssetMaterialization(key, partition=outcome.partition_key or None, metadata=load_metadata(outcome))
            )
    _log_partition_checks(context, key, outcomes)
    for verdict in _verdicts(context, key, outcomes):
        context.log_event(_evaluation(key, verdict, None))


def failure(key: dg.AssetKey, failed: Sequence[Outcome]) -> dg.Failure:
    """The failure that names each bad partition, its cause, and the command that loads them again."""
    table = table_of(key)
    causes = {outcome.partition_key or table: outcome.load.error or "no cause was recorded" for outcome in failed}
    keys = [outcome.partition_key for outcome in failed if outcome.partition_key]
    command = resume_command(key, keys)
    named = "; ".join(f"`{partition}`: {cause}" for partition, cause in list(causes.items())[:5])
    more = f"; and {len(causes) - 5} more" if len(causes) > 5 else ""
    what = f"{len(keys)} partition{'s' if len(keys) > 1 else ''} of `{table}`" if keys else f"`{table}`"
    return dg.Failure(
        f"{what} failed: {named}{more} Fix the cause, then: {command}",
        metadata={"partitions": dg.MetadataValue.json(causes), "resume": command},
        allow_retries=False,
    )


def resume_command(key: dg.AssetKey, keys: Sequence[str]) -> str:
    """What to type to load these partitions and everything downstream of them again."""
    selection = f"data-platform backfill 'key:\"{key.to_user_string()}\"+'"
    days = sorted(part[:10] for partition in keys for part in partition.split("|") if part[:4].isdigit())
    return f"{selection} --from {days[0]} --to {days[-1]}" if days else selection


def _log_partition_checks(context: dg.AssetExecutionContext, key: dg.AssetKey, outcomes: Sequence[Outcome]) -> None:
    if not 1 < len(outcomes) <= DETAILED_PARTITIONS:
        return
    names = _selected(context, key)
    for outcome in outcomes:
        for verdict in outcome.rules:
            if verdict.count and check_name(verdict.rule) in names:
                context.log_event(_evaluation(key, verdict, outcome.partition_key))


def _selected(context: dg.AssetExecutionContext, key: dg.AssetKey) -> set[str]:
    return {check.name for check in context.selected_asset_check_keys if check.asset_key == key}


def _verdicts(context: dg.AssetExecutionContext, key: dg.AssetKey, outcomes: Sequence[Outcome]) -> Iterator[RuleResult]:
    """One verdict per selected check over all outcomes. A check that judged nothing did not pass."""
    judged: dict[str, list[tuple[str, RuleResult]]] = {}
    for outcome in outcomes:
        for verdict in outcome.rules:
            judged.setdefault(check_name(verdict.rule), []).append((outcome.partition_key, verdict))
    for name in sorted(_selected(context, key)):
        if name in judged:
            yield _merged(judged[name])
        else:
            yield RuleResult(name, "none", False, "warn", 0, "the rule to be judged", "it was judged on no partition")


def _merged(judged: Sequence[tuple[str, RuleResult]]) -> RuleResult:
    """The verdicts of one rule over partitions as one: rows added up, the worst partition named and sampled."""
    if len(judged) == 1:
        return judged[0][1]
    broken = [(partition, verdict) for partition, verdict in judged if verdict.count or not verdict.passed]
    first = judged[0][1]
    if not broken:
        return replace(first, actual=f"{first.actual} in each of {len(judged)} partitions", sample=())
    worst_key, worst = max(broken, key=lambda pair: (not pair[1].passed, pair[1].count))
    count = sum(verdict.count for _, verdict in judged)
    return replace(
        worst,
        passed=all(verdict.passed for _, verdict in judged),
        severity="error" if any(v.severity == "error" and not v.passed for _, v in judged) else worst.severity,
        count=count,
        actual=f"{count} rows in {len(broken)} of {len(judged)} partitions; most in {worst_key}: {worst.actual}",
    )


def _evaluation(key: dg.AssetKey, verdict: RuleResult, partition: str | None) -> dg.AssetCheckEvaluation:
    return dg.AssetCheckEvaluation(
        asset_key=key, check_name=check_name(verdict.rule), passed=verdict.passed, severity=severity(verdict),
        metadata=verdict_metadata(verdict), partition=partition or None,
        description=f"expected {verdict.expected}; {verdict.actual}",
    )  # fmt: skip


def _result(key: dg.AssetKey, verdict: RuleResult) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key=key, check_name=check_name(verdict.rule), passed=verdict.passed, severity=severity(verdict),
        metadata=verdict_metadata(verdict), description=f"expected {verdict.expected}; {verdict.actual}",
    )  # fmt: skip


def failed_of(outcomes: Iterable[Outcome]) -> list[Outcome]:
    return [outcome for outcome in outcomes if not outcome.committed]
