"""Turns the outcomes of loads into what Dagster records: materialisations, check evaluations, a failure.

A range step that returns marks all its partitions materialised, so when some failed the good ones are logged one by
one and the step raises. In a range each rule gets one verdict for the whole range, and one per partition where rows
broke it: an event costs about 12 ms, and 17 rules over 90 days would cost 18 s per table.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import dagster as dg

from data_platform.assets.metadata import load_metadata, verdict_metadata
from data_platform.assets.naming import check_name, severity, table_of
from data_platform.assets.progress import done
from data_platform.lake.outcomes import Outcome, RuleResult, from_to
from data_platform.partitions import keys_of_run

DETAILED_PARTITIONS = 31  # of a longer range, good partitions have their verdicts in the ledger and in their metadata
NAMED = 5  # partitions that a message names
CAUSES = "partitions"  # the failure's metadata: {asset: {partition: cause}}


def partition_keys(context: dg.AssetExecutionContext) -> Sequence[str]:
    """The keys this step works on; `['']` for an unpartitioned asset, whose run may have a key for others."""
    return [""] if context.assets_def.partitions_def is None else context.partition_keys


def keys_to_resume(context: dg.AssetExecutionContext) -> Sequence[str]:
    """The partitions of this step; for an unpartitioned asset those of its run, so that what hangs on it is not made
    again for all of history."""
    keys = partition_keys(context)
    return keys if keys != [""] else keys_of_run(context.run.tags) or keys


def report(
    context: dg.AssetExecutionContext, key: dg.AssetKey, outcomes: Sequence[Outcome]
) -> dg.MaterializeResult[None]:
    """Records one outcome per partition of one asset, and a materialisation of each further partition that the load
    changed. Raises `dagster.Failure` naming the partitions that failed, after the good ones are recorded; a permanent
    failure, so Dagster does not retry it."""
    own = set(partition_keys(context))
    for other in (outcome for outcome in outcomes if outcome.partition_key not in own):
        context.log_event(_materialization(key, other))
    outcomes = [outcome for outcome in outcomes if outcome.partition_key in own]
    stop_if_not_all(context, {key: outcomes})
    result = collect(context, key, outcomes)
    failed = [outcome for outcome in outcomes if not outcome.committed]
    if failed:
        log_good(context, key, outcomes)
        raise failure({key: failed}, keys_to_resume(context))
    return result


def collect(
    context: dg.AssetExecutionContext, key: dg.AssetKey, outcomes: Sequence[Outcome]
) -> dg.MaterializeResult[None]:
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


def stop_if_not_all(context: dg.AssetExecutionContext, outcomes: Mapping[dg.AssetKey, Sequence[Outcome]]) -> None:
    """Ends the run as canceled, once what is done is logged, when somebody asked to stop before all partitions of these
    assets were begun."""
    if all(len(found) >= len(partition_keys(context)) for found in outcomes.values()):
        return
    for key, found in outcomes.items():
        if found:
            log_good(context, key, found)
    raise canceled(context)


def canceled(context: dg.AssetExecutionContext) -> dg.DagsterExecutionInterruptedError:
    """What ends a step so that its run counts as canceled by its user, not as failed."""
    said = "Stopped between partitions; those that were committed stay."
    context.instance.report_run_canceling(context.run, said)
    return dg.DagsterExecutionInterruptedError(said)


def log_good(context: dg.AssetExecutionContext, key: dg.AssetKey, outcomes: Sequence[Outcome]) -> None:
    """Logs the materialisations of the good partitions and every verdict, for a step that is about to raise."""
    for outcome in outcomes:
        if outcome.committed:
            context.log_event(_materialization(key, outcome))
    _log_partition_checks(context, key, outcomes)
    for verdict in _verdicts(context, key, outcomes):
        context.log_event(_evaluation(key, verdict, None))


def _materialization(key: dg.AssetKey, outcome: Outcome) -> dg.AssetMaterialization:
    return dg.AssetMaterialization(key, partition=outcome.partition_key or None, metadata=load_metadata(outcome))


def failure(failed: Mapping[dg.AssetKey, Sequence[Outcome]], keys: Sequence[str]) -> dg.Failure:
    """The failure that names each bad partition of each asset of a step, its cause, and what to type when it is mended.
    The command covers all `keys`: Dagster runs nothing downstream of a failed step, so the good
    partitions are not carried on either."""
    texts, causes = [], {}
    for key, outcomes in failed.items():
        table = table_of(key)
        found = {outcome.partition_key: outcome.load.error or "no cause was recorded" for outcome in outcomes}
        named = "; ".join(f"`{partition or table}`: {cause}" for partition, cause in list(found.items())[:NAMED])
        more = f"; and {len(found) - NAMED} more" if len(found) > NAMED else ""
        count = f"{len(found)} partition{'s' if len(found) > 1 else ''} of " if "" not in found else ""
        texts.append(f"{count}`{table}` failed: {named}{more}")
        causes[key.to_user_string()] = found
    command = resume_command(dict.fromkeys(failed, keys))
    return dg.Failure(
        f"{' '.join(texts)}\nFix the cause, then: {command}",
        metadata={CAUSES: dg.MetadataValue.json(causes), "resume": command},
        allow_retries=False,
    )


def resume_command(failed: Mapping[dg.AssetKey, Sequence[str]]) -> str:
    """What to type to load these partitions, and everything downstream of them, again."""
    selection = " or ".join(f'key:"{key.to_user_string()}"+' for key in failed)
    return f"data-platform backfill '{selection}'{from_to(key for keys in failed.values() for key in keys)}"


def _log_partition_checks(context: dg.AssetExecutionContext, key: dg.AssetKey, outcomes: Sequence[Outcome]) -> None:
    if len(outcomes) == 1:
        return
    names = _selected(context, key)
    for outcome in outcomes:
        if outcome.committed and len(outcomes) > DETAILED_PARTITIONS:
            continue
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
    where = f"in {len(broken)} of {len(judged)} partitions"
    said = f"rows that break it: {count:,}, {where}; most in {worst_key}: {worst.count:,}"
    return replace(
        worst,
        passed=all(verdict.passed for _, verdict in judged),
        severity="error" if any(v.severity == "error" and not v.passed for _, v in judged) else worst.severity,
        count=count,
        in_inbox=any(verdict.in_inbox for _, verdict in judged),
        actual=said if worst.about == "rows" else f"{where}; {worst_key}: {worst.actual}",
    )


def _evaluation(key: dg.AssetKey, verdict: RuleResult, partition: str | None) -> dg.AssetCheckEvaluation:
    return dg.AssetCheckEvaluation(
        asset_key=key, check_name=check_name(verdict.rule), passed=verdict.passed, severity=severity(verdict),
        metadata=verdict_metadata(key, verdict, partition), partition=partition or None,
        description=f"expected {verdict.expected}; {verdict.actual}",
    )  # fmt: skip


def _result(key: dg.AssetKey, verdict: RuleResult) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key=key, check_name=check_name(verdict.rule), passed=verdict.passed, severity=severity(verdict),
        metadata=verdict_metadata(key, verdict), description=f"expected {verdict.expected}; {verdict.actual}",
    )  # fmt: skip


def failed_of(outcomes: Iterable[Outcome]) -> list[Outcome]:
    return [outcome for outcome in outcomes if not outcome.committed]
