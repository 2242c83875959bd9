"""Splits the bytes of a CSV file into records, one defect at a time. The careful path: no engine, no guessing.

A record is one line, or several when a quoted value holds line feeds. The grammar is that of Python's `csv` module with
`strict=True`: a quote opens a quoted value only as its first character, a quote inside is doubled, and after the
closing quote comes a delimiter or the end of the line. A blank line is no record.

An unterminated quote must not swallow its neighbours: a record may go on over at most `LOOK_AHEAD_LINES` lines or
`LOOK_AHEAD_BYTES` bytes, and there no quote may stand inside an unquoted value, so that the line on which a quoted value
ends is never a good record by itself. When the quote does not close cleanly by then, its first line alone is set aside,
and the lines after it are read as if it were not there. So they are when it closes but the record has the wrong number
of values and one of the lines it took looks like a record; when none does, it is one ragged record.
"""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Iterator
from typing import BinaryIO, Literal, NamedTuple

from data_platform.errors import SourceError

LOOK_AHEAD_LINES = 256
LOOK_AHEAD_BYTES = 256 << 10
MAX_LINE = 16 << 20
State = Literal["closed", "open", "broken"]
Line = tuple[int, bytes]


class Record(NamedTuple):
    """One record with its bytes, line end included. `values` is None when `defect` says why it could not be read;
    `is_open` marks one that ends in the middle, which at the end of a file means that the file was cut off."""

    offset: int
    raw: bytes
    values: tuple[str, ...] | None
    defect: str | None = None
    is_open: bool = False


class Lines:
    """Physical lines with their offsets; lines that were looked at in vain can be given back."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file, self._name, self._offset = file, name, file.tell()
        self._waiting: deque[Line] = deque()

    def take(self) -> Line | None:
        if self._waiting:
            return self._waiting.popleft()
        start, line = self._offset, self._file.readline(MAX_LINE + 1)
        if len(line) > MAX_LINE:
            raise SourceError(
                f"`{self._name}` has a line longer than {MAX_LINE >> 20} MiB at byte {start}.",
                fix="deliver it with line ends",
            )
        self._offset += len(line)
        return (start, line) if line else None

    def give_back(self, lines: list[Line]) -> None:
        self._waiting.extendleft(reversed(lines))


class Grammar:
    """The grammar of one dialect, as patterns over bytes (where lines end) and over text (what the values are)."""

    def __init__(self, delimiter: str, encoding: str) -> None:
        self.delimiter, self.encoding = delimiter, encoding
        mark = re.escape(delimiter)
        inside, plain = r'[^"]*+(?:""[^"]*+)*+', rf'(?:[^"{mark}\r\n][^{mark}\r\n]*+)?+'
        value, strict = rf'(?:"{inside}"|{plain})', rf'(?:"{inside}"|[^"{mark}\r\n]*+)'
        self._value = re.compile(rf'(?:"({inside})"|({plain}))({mark}|\Z)')
        self._closed = re.compile(rf"{value}(?:{mark}{value})*+".encode())
        self._strict = re.compile(rf"{strict}(?:{mark}{strict})*+".encode())
        self._open = re.compile(rf'(?:{value}{mark})*+"{inside}'.encode())
        self._tail_closed = re.compile(rf'{inside}"(?:{mark}{strict})*+'.encode())
        self._tail_open = re.compile(rf'{inside}(?:"{mark}(?:{strict}{mark})*+"{inside})?+'.encode())

    def state(self, line: bytes, *, within_quotes: bool) -> State:
        """Where a physical line leaves a record: complete, inside a quoted value, or in no shape to go on."""
        if not within_quotes and b'"' not in line and b"\r" not in strip_end(line):
            return "closed"
        closed, opened = (self._tail_closed, self._tail_open) if within_quotes else (self._closed, self._open)
        if closed.fullmatch(strip_end(line)):
            return "closed"
        return "open" if opened.fullmatch(line.rstrip(b"\n")) else "broken"

    def width(self, record: bytes) -> int:
        """The number of values of a complete record."""
        return len(self.values(strip_end(record).decode("latin-1")))

    def looks_like_record(self, line: bytes, width: int) -> bool:
        """Whether a line could stand alone: a good record, or the begin of one that goes on."""
        if self._strict.fullmatch(strip_end(line)):
            return self.width(line) == width
        return self._open.fullmatch(line.rstrip(b"\n")) is not None

    def has_stray_quote(self, line: bytes) -> bool:
        """Whether a quote stands in a value that did not begin with one."""
        return self._strict.fullmatch(strip_end(line)) is None

    def values(self, text: str) -> tuple[str, ...]:
        """The values of a complete record, without its line end."""
        if '"' not in text:
            return tuple(text.split(self.delimiter))
        if len(text) < csv.field_size_limit():
            return tuple(next(csv.reader((text,), delimiter=self.delimiter, strict=True)))
        found, at = [], 0
        while True:
            match = self._value.match(text, at)
            if match is None:
                raise ValueError(f"no value at character {at}")
            quoted, plain, end = match.groups()
            found.append(plain if quoted is None else quoted.replace('""', '"'))
            if not end:
                return tuple(found)
            at = match.end()


def strip_end(line: bytes) -> bytes:
    """A line without its line end, which is a line feed with or without a carriage return before it."""
    if line.endswith(b"\r\n"):
        return line[:-2]
    return line[:-1] if line.endswith(b"\n") else line


def split(lines: Lines, grammar: Grammar, width: int | None) -> Iterator[Record]:
    """Yields the records of a file in order, good and bad; every byte but blank lines is in one of them.
    `width` is the number of values a record must have; None accepts any, for a header."""
    suspect_until = -1
    while (line := lines.take()) is not None:
        offset, raw = line
        if not strip_end(raw):
            continue
        state = grammar.state(raw, within_quotes=False)
        if state == "open":
            whole, ended_at = _look_ahead(lines, grammar, raw, width)
            if whole is None:
                suspect_until = max(suspect_until, ended_at)
                yield Record(offset, raw, None, "unterminated quote", is_open=True)
                continue
            raw, state = whole, "closed"
        if state == "broken":
            yield Record(offset, raw, None, _broken(raw))
        elif offset <= suspect_until and grammar.has_stray_quote(raw):
            yield Record(offset, raw, None, "quote inside a value, after an unterminated quote")
        else:
            yield _read(offset, raw, grammar, width)


def _look_ahead(lines: Lines, grammar: Grammar, first: bytes, width: int | None) -> tuple[bytes | None, int]:
    """Takes lines until the open quote closes and returns the whole record; or gives all of them back and returns None,
    with the offset of the line that holds the next quote (-1: there is none), whose rest is then not to be trusted."""
    taken: list[Line] = []
    size, ended_at = len(first), -1
    while len(taken) < LOOK_AHEAD_LINES and size < LOOK_AHEAD_BYTES and (line := lines.take()) is not None:
        taken.append(line)
        size += len(line[1])
        state = grammar.state(line[1], within_quotes=True)
        if state != "open":
            ended_at = line[0]
        if state == "closed":
            whole = first + b"".join(raw for _, raw in taken)
            if (
                width is None
                or grammar.width(whole) == width
                or not any(grammar.looks_like_record(raw, width) for _, raw in taken)
            ):
                return whole, -1
        if state != "open":
            break
    lines.give_back(taken)
    return None, ended_at


def _read(offset: int, raw: bytes, grammar: Grammar, width: int | None) -> Record:
    body = strip_end(raw)
    if b"\0" in body:
        return Record(offset, raw, None, f"NUL byte at byte {offset + body.index(0)}")
    try:
        values = grammar.values(body.decode(grammar.encoding))
    except UnicodeDecodeError as error:
        is_cut = error.end == len(body) and "unexpected end" in error.reason
        return Record(
            offset, raw, None, f"invalid {grammar.encoding.upper()} at byte {offset + error.start}", is_open=is_cut
        )
    if width is not None and len(values) != width:
        return Record(
            offset, raw, None, f"{len(values)} values where the header has {width}", is_open=len(values) < width
        )
    return Record(offset, raw, values)


def _broken(raw: bytes) -> str:
    return "bare carriage return" if b"\r" in strip_end(raw) else "text after a closing quote"
