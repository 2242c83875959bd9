"""Whose an uncommitted file is, and whether its process lives."""

from __future__ import annotations

import os
from pathlib import Path

from data_platform.lake import owners


def test_a_process_has_one_mark_and_lives_in_its_own_eyes(tmp_path: Path) -> None:
    mark = owners.mark(tmp_path)
    assert mark == owners.mark(tmp_path) and owners.mark_in(f"load-{mark}-0.parquet") == mark
    file = tmp_path / f"load-{mark}-0.parquet"
    file.touch()
    assert not owners.is_dead(tmp_path, mark) and not owners.is_abandoned(tmp_path, file)
    assert owners.forget_dead(tmp_path) == 0
    assert not owners.is_abandoned(tmp_path, file)


def test_a_child_born_by_fork_has_a_mark_of_its_own_that_dies_with_it(tmp_path: Path) -> None:
    ours, (read, write) = owners.mark(tmp_path), os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, owners.mark(tmp_path).encode())
        os._exit(0)
    os.waitpid(child, 0)
    theirs = os.read(read, 100).decode()
    assert theirs != ours and owners.is_dead(tmp_path, theirs) and not owners.is_dead(tmp_path, ours)
    assert owners.forget_dead(tmp_path) == 1


def test_names_without_a_mark_have_none() -> None:
    for name in ("ducklake-01a2.parquet", f"load-{'a' * 32}.parquet", "read-only", "load-xyz-1.parquet"):
        assert owners.mark_in(name) is None


def test_a_file_that_is_gone_is_nobodys_to_remove(tmp_path: Path) -> None:
    assert not owners.is_abandoned(tmp_path, tmp_path / "load-000000abcdef-gone.parquet")
