"""What a source is: feeds of files in the landing folder, declared. No reading here, and no contract.

A source is one module of this package that has the name of its contract module and holds a `SOURCE`;
`registry.py` finds it.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from data_platform.errors import ContractError

Format = Literal["csv", "jsonl", "parquet"]
KEY = "{key}"
_PLAIN = " !\"#$&'()+,-.:;<=>@[]^_`{|}~"


@dataclass(frozen=True)
class Feed:
    """The files of one table. `contract` is its staging table; `path` a template under the landing folder, in which
    `{key}` stands for the partition key. With `split_by`, a source column, one file holds many partitions: a record
    belongs to the partition of that column's value (read with the first of `split_format` that fits, strptime formats, or as ISO 8601),
    and to the first partition of the table when the value is no date or outside the table's range.

    `control` is a template for a small JSON file in which the source states what it sent for a partition:
    `{"rows": 1204, "sums": {"amount": "9539.48"}, "sha256": "…"}`, each of them optional."""

    contract: str
    path: str
    format: Format
    delimiter: str = ","
    encoding: str = "utf-8"
    split_by: str | None = None
    split_format: tuple[str, ...] = ()
    control: str | None = None

    def __post_init__(self) -> None:
        if self.split_by is not None and KEY in self.path:
            raise ContractError(f"The feed of `{self.contract}` is split by a column, so its path cannot hold `{KEY}`.")
        by_key = KEY in self.path or self.split_by is not None
        if self.control is not None and (KEY in self.control) != by_key:
            raise ContractError(
                f"The feed of `{self.contract}` has the control file `{self.control}`, which is not one per partition.",
                fix=f"write `{KEY}` in its path" if by_key else f"leave `{KEY}` out of its path",
            )
        if len(self.delimiter) != 1 or ord(self.delimiter) > 127 or self.delimiter in '"\r\n':
            raise ContractError(
                f"The feed of `{self.contract}` has the delimiter `{self.delimiter!r}`: one ASCII character."
            )
        try:
            ascii_safe = 'a\n",'.encode(codecs.lookup(self.encoding).name) == b'a\n",'
        except (LookupError, UnicodeError):
            ascii_safe = False
        if not ascii_safe:
            raise ContractError(
                f"The feed of `{self.contract}` has the encoding `{self.encoding}`: it must be known and extend ASCII.",
                fix="convert the files to UTF-8",
            )

    @property
    def table(self) -> str:
        return self.contract.split(".")[1]

    @property
    def raw(self) -> str:
        return f"raw.{self.table}"

    @property
    def is_utf8(self) -> bool:
        return codecs.lookup(self.encoding).name == "utf-8"

    def file(self, key: str) -> str:
        """The path of a partition's file, relative to the landing folder. A `/` in a key is percent-encoded."""
        return _filled(self.path, key)

    def control_file(self, key: str) -> str | None:
        """The path of a partition's control file, relative to the landing folder; None when the feed has none."""
        return None if self.control is None else _filled(self.control, key)

    def locate(self, landing: Path, key: str) -> Path:
        return landing / self.file(key)


def _filled(template: str, key: str) -> str:
    return template.replace(KEY, quote(key, safe=_PLAIN))


@dataclass(frozen=True)
class Source:
    """Feeds that come from one place, with who answers for them."""

    name: str
    owner: str
    description: str
    feeds: tuple[Feed, ...]
