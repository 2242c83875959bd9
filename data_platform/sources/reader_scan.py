"""One pass over a file's bytes: its hash, its lines, and what could mislead a parser. No records here.

The line count taken here is the count at the source against which the fast path must answer.
"""

from __future__ import annotations

import codecs
import hashlib
import os
import re
import stat
import time
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from data_platform.errors import SourceError
from data_platform.lake.storage import may_pass

BLOCK = 1 << 20
RACY_NS = 2_000_000_000
_CONTROL = bytes({*range(32)} - set(b"\t\n\r\f\x1b"))
_APART = re.compile(rb'"[ \t]+"')
MAGIC = {
    b"\x1f\x8b": "a gzip file", b"PK\x03\x04": "a zip or Excel file", b"PAR1": "a Parquet file", b"%PDF": "a PDF file",
    b"\xd0\xcf\x11\xe0": "an old Excel file", b"\x28\xb5\x2f\xfd": "a zstd file", b"SQLite format 3": "a SQLite file",
    b"\xff\xfe": "UTF-16 text", b"\xfe\xff": "UTF-16 text",
}  # fmt: skip


@dataclass(frozen=True)
class Scan:
    """A file's bytes in numbers. `bare_cr` counts carriage returns that no line feed follows; `quoted_apart` tells of
    two quotes with nothing but blanks between, which DuckDB joins into one value."""

    path: Path
    size: int
    mtime_ns: int
    inode: int
    seen_ns: int
    sha256: str
    newlines: int
    crlf: int
    bare_cr: int
    quotes: int
    ends_with_newline: bool
    is_utf8: bool
    has_nul: bool
    quoted_apart: bool


def scan(path: Path, name: str) -> Scan:
    """Reads the file once, in blocks. Raises `SourceError` when it is missing, unreadable, empty or no plain file."""
    try:
        with open_plain(path, name) as file:
            status = os.fstat(file.fileno())
            if status.st_size == 0:
                raise SourceError(f"`{name}` has zero bytes: not even a header.", fix="deliver the file again")
            return _scan(file, path, status)
    except OSError as error:
        raise unreadable(name, error) from error


def open_plain(path: Path, name: str) -> BinaryIO:
    """Opens a regular file for reading; a folder, pipe or device is refused before it is opened."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise SourceError(f"`{name}` is no plain file.", fix="deliver a file in its place")
        return path.open("rb")
    except OSError as error:
        raise unreadable(name, error) from error


def unreadable(name: str, error: OSError) -> SourceError:
    if isinstance(error, FileNotFoundError):
        return SourceError(f"`{name}` is not there.", fix="deliver the file, then load this partition again")
    return SourceError(
        f"`{name}` cannot be read: {error.strerror or error}.",
        fix="check the file's owner and mode",
        transient=may_pass(error),
    )


def _scan(file: BinaryIO, path: Path, status: os.stat_result) -> Scan:
    digest, decoder = hashlib.sha256(), codecs.getincrementaldecoder("utf-8")("strict")
    seen_ns, size, newlines, crlf, returns, quotes = time.time_ns(), 0, 0, 0, 0, 0
    is_utf8, has_nul, quoted_apart, last, open_quote = True, False, False, b"", b""
    while block := file.read(BLOCK):
        digest.update(block)
        size += len(block)
        newlines += block.count(b"\n")
        if b"\r" in block:
            returns += block.count(b"\r")
            crlf += block.count(b"\r\n")
        crlf += last == b"\r" and block[:1] == b"\n"
        if b'"' in block:
            quotes += block.count(b'"')
            quoted_apart = quoted_apart or _APART.search(open_quote + block) is not None
        open_quote = b'"' if block.rstrip(b" \t").endswith(b'"') else b""
        has_nul = has_nul or b"\0" in block
        is_utf8 = is_utf8 and _decodes(decoder, block)
        last = block[-1:]
    is_utf8 = is_utf8 and _decodes(decoder, b"", final=True)
    return Scan(
        path, size, status.st_mtime_ns, status.st_ino, seen_ns, digest.hexdigest(), newlines, crlf, returns - crlf, quotes,
        last == b"\n", is_utf8, has_nul, quoted_apart,
    )  # fmt: skip


def _decodes(decoder: codecs.IncrementalDecoder, block: bytes, final: bool = False) -> bool:
    try:
        decoder.decode(block, final)
    except UnicodeDecodeError:
        return False
    return True


def refuse_binary(head: bytes, name: str, expected: str) -> None:
    """Raises `SourceError` when the first bytes of a text feed are those of something else."""
    kind = next((kind for magic, kind in MAGIC.items() if head.startswith(magic)), None)
    # Random bytes hold one control character in ten; text with a few bad records holds next to none.
    if kind is None and len(head) - len(head.translate(None, _CONTROL)) > max(8, len(head) // 20):
        kind = "a binary file"
    if kind is not None:
        raise SourceError(f"`{name}` is {kind}, not {expected}.", fix=f"deliver it as {expected}")


def check_unchanged(before: Scan, name: str) -> None:
    """Raises `SourceError` when the file is no longer the one that was scanned. A file written within two seconds of
    the scan is hashed again, because its time stamp may be too coarse to show a second write."""
    try:
        now = before.path.stat()
        same = (now.st_size, now.st_mtime_ns, now.st_ino) == (before.size, before.mtime_ns, before.inode)
        if same and before.seen_ns - before.mtime_ns < RACY_NS:
            same = file_hash(before.path) == before.sha256
    except OSError:
        same = False
    if not same:
        raise SourceError(
            f"`{name}` changed while it was read.",
            fix="write drop files under another name and rename them when complete, then load this partition again",
        )


def file_hash(path: Path) -> str:
    """The sha256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
