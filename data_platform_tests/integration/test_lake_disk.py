"""A disk that is full or read-only: a clear error, the old rows, and no litter. Root ignores modes, so these mount."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pytest

from data_platform.cli.home import open_instance, prepare_home
from data_platform.errors import StorageError
from data_platform.lake import owners
from data_platform.lake.lake import Lake, Slice
from data_platform.lake.outcomes import LoadRecord
from data_platform.settings import load_settings

DAY = date(2026, 1, 1)
Mount = Callable[[Path, str], None]


@pytest.fixture
def mount() -> Iterator[Mount]:
    """Mounts a small tmpfs, or remounts it: `mount(path, options)`. Skips aloud where mounting is not permitted."""
    mounted: list[Path] = []

    def run(path: Path, options: str) -> None:
        path.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            pytest.skip(
                f"NOT TESTED: full and read-only disks, because mounting is not permitted here: {done.stderr.strip()}"
            )
        if "remount" not in options:
            mounted.append(path)

    yield run
    for path in mounted:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


def filled(home: Path) -> Lake:
    """A lake with one row in one day."""
    lake = Lake(load_settings(home=home, threads=1))
    con = lake.connect()
    lake.ensure_table(con, "staging.t", {"n": "BIGINT", "words": "VARCHAR", "day": "DATE"}, ("day",))
    file = lake.stage(con, "staging.t", "SELECT 1 AS n", {"day": DAY})
    lake.commit([Slice("staging.t", {"day": DAY}, (file,) if file else ())])
    con.close()
    return lake


def found(lake: Lake) -> list[tuple[int]]:
    con = lake.connect(read_only=True)
    try:
        return con.execute("SELECT n FROM lake.staging.t").fetchall()
    finally:
        con.close()


def fill(folder: Path) -> Path:
    """Takes all the space there is; the file to remove to give it back."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as heavy, contextlib.suppress(OSError):
        while True:
            heavy.write(b"x" * 4096)
    return ballast


def test_a_disk_that_fills_while_rows_are_staged_keeps_the_old_rows_and_is_named(tmp_path: Path, mount: Mount) -> None:
    home = tmp_path / "small"
    mount(home, "size=6m")
    lake = filled(home)
    before = sorted(home.rglob("*.parquet"))
    con = lake.connect()
    with pytest.raises(StorageError, match="has no space left"):
        lake.stage(
            con, "staging.t", "SELECT range AS n, md5(range::VARCHAR) AS words FROM range(1000000)", {"day": DAY}
        )
    assert sorted(home.rglob("*.parquet")) == before, "the half-written file is removed"
    assert found(lake) == [(1,)]


def test_a_disk_that_is_full_at_the_commit_keeps_the_old_rows(tmp_path: Path, mount: Mount) -> None:
    home = tmp_path / "small"
    mount(home, "size=6m")
    lake = filled(home)
    con = lake.connect()
    file = lake.stage(con, "staging.t", "SELECT 2 AS n", {"day": DAY})
    assert file is not None
    ballast = fill(home)
    load = LoadRecord("staging.t", DAY.isoformat(), "run", "committed", error="x" * 100_000)
    with pytest.raises(StorageError, match="has no space left"):
        lake.commit([Slice("staging.t", {"day": DAY}, (file,))], [load])
    ballast.unlink()
    assert found(lake) == [(1,)]
    assert not file.path.exists(), "the staged file is removed"
    again = lake.stage(con, "staging.t", "SELECT 3 AS n", {"day": DAY})
    assert again is not None
    lake.commit([Slice("staging.t", {"day": DAY}, (again,))])
    assert found(lake) == [(3,)]


def test_dagster_s_own_files_on_a_full_disk_are_named_and_no_traceback_comes(tmp_path: Path, mount: Mount) -> None:
    home = tmp_path / "small"
    mount(home, "size=6m")
    settings = load_settings(home=home)
    prepare_home(settings)
    fill(home)
    with pytest.raises(StorageError, match="has no space left"):
        open_instance(settings)


def test_a_read_only_home_is_named_when_a_lake_is_made_and_when_it_is_written(tmp_path: Path, mount: Mount) -> None:
    empty = tmp_path / "empty"
    mount(empty, "size=6m,ro")
    with pytest.raises(StorageError, match=r"empty.*read-only file system") as caught:
        Lake(load_settings(home=empty)).connect()
    assert "PLATFORM_HOME" in str(caught.value.fix)

    home = tmp_path / "used"
    mount(home, "size=6m")
    lake = filled(home)
    con = lake.connect()
    file = lake.stage(con, "staging.t", "SELECT 2 AS n", {"day": DAY})
    assert file is not None
    con.close()
    lake.close()
    owners.let_go()  # an open lock keeps the file system from being remounted
    mount(home, "size=6m,remount,ro")
    other = Lake(load_settings(home=home, threads=1))
    with pytest.raises(StorageError, match="read-only"):
        other.commit([Slice("staging.t", {"day": DAY}, (file,))])
    mount(home, "size=6m,remount,rw")
    assert found(Lake(load_settings(home=home, threads=1))) == [(1,)]
