"""A module that cannot be imported is one message with its file and line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from data_platform.contracts.modules import FOLDER, imported
from data_platform.errors import ContractError


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1\nclas Orders:\n", r"broken_table\.py`, line 2, cannot be imported: SyntaxError: invalid syntax"),
        ("\n\nx = nope\n", r"broken_table\.py`, line 3, cannot be imported: NameError: name 'nope' is not defined"),
        ("import nothing_there\n", "line 1, cannot be imported: ModuleNotFoundError"),
    ],
)
def test_what_is_wrong_with_a_module_is_told_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, said: str
) -> None:
    path = tmp_path / "broken_table.py"
    path.write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr("data_platform.contracts.modules.FOLDER", tmp_path / "data_platform" / "contracts")
    with pytest.raises(ContractError, match=said) as caught:
        imported("broken_table", path)
    assert caught.value.fix


def test_the_digest_of_the_registry_is_that_of_the_files_it_read() -> None:
    code = "from data_platform.contracts import modules, registry; assert registry.READ == modules.files_digest()"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=FOLDER.parent.parent)
