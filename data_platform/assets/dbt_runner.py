"""dbt inside this process: the parsed project, and builds of candidates in a throw-away folder.

In-process, because a `dbt` command costs 4 s of imports on 2 cores (and `DbtCliResource` runs three: version, adapter,
build), while dagster-dbt has imported most of dbt already. No Dagster here, and no writing to the lake.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from data_platform.errors import ContractError, LoadFailed
from data_platform.lake.owners import sweep
from data_platform.lake.staging import fsync
from data_platform.lake.storage import redact, storage_errors, without_values
from data_platform.settings import PROJECT_ROOT, Settings

if TYPE_CHECKING:
    # Importing dbt costs a second; who only looks at the assets does not pay it.
    from dbt.cli.main import dbtRunnerResult

DBT_DIR = PROJECT_ROOT / "dbt"
PARSED = ("*.sql", "*.yml", "*.csv", "*.py", "*.md")
# The file's name becomes the database's name in every relation, so parsing and building must agree on it.
CANDIDATES = "candidates.duckdb"
MANIFEST = "manifest.json"
KEPT_VERSIONS = 5
QUIET = (
    "--log-level", "none", "--log-level-file", "none", "--no-version-check", "--no-use-colors", "--no-print",
    "--no-send-anonymous-usage-stats",
)  # fmt: skip
# dbt keeps its adapter, flags and event manager in globals: one command at a time per process.
_one_at_a_time = threading.RLock()


@dataclass(frozen=True)
class Candidates:
    """What a build left behind: the DuckDB file with one relation per built model in its schema `main` (views on Parquet
    files beside it), and for each model that was not built the cause. `built` is in topological order."""

    path: Path
    built: tuple[str, ...]
    failed: Mapping[str, str]

    def files(self, model: str) -> list[Path]:
        """The Parquet files of a model: by partition where the build was told how its table is cut."""
        place = self.path.with_name(f"{self.path.name}.{model}")
        whole = place.with_name(f"{place.name}.parquet")
        return [whole] if whole.exists() else sorted(place.rglob("*.parquet"))


def manifest_path(settings: Settings, dbt_dir: Path = DBT_DIR) -> Path:
    """The manifest of the project as its files are now; parses them when no process has done so yet, else only hashes
    them. Raises `ContractError` with dbt's message when the project cannot be parsed."""
    folder = settings.home / "dbt" / _content_hash(dbt_dir)
    manifest = folder / MANIFEST
    if not manifest.exists():
        with storage_errors(folder.parent):
            folder.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(folder.with_suffix(".lock")):
                if not manifest.exists():
                    _parse_into(folder, dbt_dir)
    return manifest


@contextmanager
def built(
    settings: Settings, models: Sequence[str], variables: Mapping[str, Any], dbt_dir: Path = DBT_DIR,
    version: int | None = None,
) -> Iterator[Candidates]:  # fmt: skip
    """Builds the models and all seeds from the lake as it is, or was at a version; the file is gone when the block ends.
    Raises `LoadFailed` when dbt could not start; a model whose SQL fails is told in `failed`, and so is each that reads it."""
    folder = settings.home / "build" / uuid.uuid4().hex
    lock = FileLock(folder.with_suffix(".lock"))
    with storage_errors(folder.parent):
        folder.parent.mkdir(parents=True, exist_ok=True)
        sweep(folder.parent)
        lock.acquire()
    try:
        with storage_errors(folder.parent):
            folder.mkdir()
        yield _build(settings, folder, models, variables, dbt_dir, version)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        lock.release()
        folder.with_suffix(".lock").unlink(missing_ok=True)


def _build(
    settings: Settings, folder: Path, models: Sequence[str], variables: Mapping[str, Any], dbt_dir: Path,
    version: int | None,
) -> Candidates:  # fmt: skip
    from dbt.artifacts.schemas.run import RunExecutionResult

    from data_platform.lake import dbt_plugin

    file = folder / CANDIDATES
    with _one_at_a_time, dbt_plugin.attaching(settings, version):
        # A build writes compiled code into the manifest, and an ephemeral model compiled once is not compiled again.
        manifest = _parsed(manifest_path(settings, dbt_dir).parent, dbt_dir).deepcopy()
        try:
            result = _invoke(
                [
                    "build", *_places(folder, dbt_dir), "--no-write-json", "--no-populate-cache",
                    "--select", "resource_type:seed", *models, "--resource-type", "model", "--resource-type", "seed",
                    "--vars", json.dumps({**variables, "build_file": str(file)}),
                ],
                manifest,
            )  # fmt: skip
        finally:
            dbt_plugin.release()
    if not isinstance(result.result, RunExecutionResult):
        raise LoadFailed(f"dbt could not build {_listed(models)}: {_cause(result)}", fix="data-platform doctor")
    return _candidates(file, models, result.result.results)


def _candidates(file: Path, models: Sequence[str], results: Sequence[Any]) -> Candidates:
    status = {run.node.name: run for run in results}
    missing = [name for name in models if name not in status]
    if missing:
        raise ContractError(f"dbt has no model {_listed(missing)}.", fix="add it under dbt/models/marts/")
    by_id = {run.node.unique_id: run for run in results}
    failed = {name: _why(status[name], by_id) for name in models if str(status[name].status) != "success"}
    return Candidates(file, tuple(name for name in status if name in models and name not in failed), failed)


def _why(run: Any, by_id: Mapping[str, Any]) -> str:
    """dbt's words for a node that was not built; for one that was skipped those for what it reads."""
    for parent in run.node.depends_on_nodes if str(run.status) == "skipped" else ():
        above = by_id.get(parent)
        if above is not None and str(above.status) != "success":
            return f"it reads `{above.node.name}`, which failed: {_why(above, by_id)}"
    return " ".join(without_values(str(run.message or run.status)).split()).partition(" > in macro ")[0]


def _parse_into(folder: Path, dbt_dir: Path) -> None:
    scratch = folder.with_name(f"{folder.name}.{uuid.uuid4().hex}")
    try:
        with _one_at_a_time:
            result = _invoke(_parse(scratch, dbt_dir))
        if not result.success:
            raise _unparsed(result, dbt_dir)
        fsync(scratch / MANIFEST)
        shutil.rmtree(folder, ignore_errors=True)
        scratch.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    _forget_older(folder)


def _forget_older(folder: Path) -> None:
    """Keeps what the last few versions of the project were parsed to; who works with an older one parses it again."""
    others = [path for path in folder.parent.iterdir() if path.is_dir() and path != folder]
    for older in sorted(others, key=lambda path: path.stat().st_mtime)[: -KEPT_VERSIONS + 1]:
        shutil.rmtree(older, ignore_errors=True)


@lru_cache(maxsize=2)
def _parsed(folder: Path, dbt_dir: Path) -> Any:
    """dbt's own manifest object, read from the partial parse of `folder`; 0.4 s, once per process."""
    # Others read the manifest in this folder, and must not find it half written.
    result = _invoke([*_parse(folder, dbt_dir), "--no-write-json"])
    if not result.success:
        raise _unparsed(result, dbt_dir)
    return result.result


def _invoke(arguments: Sequence[str], manifest: Any = None) -> dbtRunnerResult:
    from dbt.cli.main import dbtRunner

    result = dbtRunner(manifest).invoke([*arguments, *QUIET])
    if result.exception is not None and not isinstance(result.exception, Exception):
        raise result.exception  # an interrupt, which dbt's runner keeps to itself
    return result


def _parse(target: Path, dbt_dir: Path) -> list[str]:
    return ["parse", *_places(target, dbt_dir), "--vars", json.dumps({"build_file": CANDIDATES})]


def _places(target: Path, dbt_dir: Path) -> list[str]:
    where = {"--project-dir": dbt_dir, "--profiles-dir": dbt_dir, "--target-path": target, "--log-path": target}
    return [part for option, path in where.items() for part in (option, str(path))]


def _content_hash(dbt_dir: Path) -> str:
    digest = hashlib.sha256(f"{version('dbt-core')} {version('dbt-duckdb')} {CANDIDATES} {dbt_dir}".encode())
    files = sorted(path for pattern in PARSED for path in dbt_dir.rglob(pattern))
    for path in files:
        if not {"target", "logs"} & set(path.relative_to(dbt_dir).parts):
            digest.update(f"\0{path.relative_to(dbt_dir)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:20]


def _cause(result: dbtRunnerResult) -> str:
    return redact(" ".join(str(result.exception or "no cause was given").split()))


def _unparsed(result: dbtRunnerResult, dbt_dir: Path) -> ContractError:
    return ContractError(
        f"The dbt project `{dbt_dir}` cannot be parsed: {_cause(result)}",
        fix=f"correct it, then: dbt parse --project-dir {dbt_dir} --profiles-dir {dbt_dir}",
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
