"""A draft as the text of two modules, a contract and a source, as the formatter would leave them."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from data_platform.quality.draft import Draft, DraftColumn

WIDTH = 120
ANNOTATIONS = {
    "BIGINT": "int", "DECIMAL(18,2)": "Money", "DOUBLE": "float", "DATE": "dt.date", "TIMESTAMP": "dt.datetime",
    "BOOLEAN": "bool", "VARCHAR": "str",
}  # fmt: skip


def contract_text(draft: Draft) -> str:
    """The module of `data_platform/contracts/tables`."""
    kinds = {column.kind for column in draft.columns}
    lines = [
        f'"""The contract of {draft.table}, drafted from {draft.rows:,} rows of {_plain(draft.file.path.name)}: what held for them. Read it, then trust it."""',
        "",
        "from __future__ import annotations",
        "",
        *(["import datetime as dt"] if draft.start or kinds & {"DATE", "TIMESTAMP"} else []),
        "from datetime import timedelta",
        *(["from typing import Annotated"] if "DECIMAL(18,2)" in kinds else []),
        "",
        "import pandera.ibis as pa",
        *(["from pandera.dtypes import Decimal"] if "DECIMAL(18,2)" in kinds else []),
        "",
        f"from data_platform.contracts.model import {'Key, ' if draft.key else ''}column, table",
        "from data_platform.contracts.partitioning import by",
        "",
        *(["Money = Annotated[Decimal, 18, 2, None]"] if "DECIMAL(18,2)" in kinds else []),
    ]
    for column in draft.columns:
        for _, value in column.checks:
            if isinstance(value, list):
                lines += _wrapped(f"{_constant(column)} = [", [_literal(item) for item in value], "]")
            elif isinstance(value, str) and len(value) > 60:
                lines.append(f"{_constant(column)} = {_pattern(value)}")
    if lines[-1] != "":
        lines.append("")
    return "\n".join([*lines, "", *_table(draft), *_model(draft), ""])


def _table(draft: Draft) -> list[str]:
    lines = ["@table(", f"    {_literal(f'staging.{draft.table}')},"]
    lines.append(f"    grain={_literal('one row per ' + _per(draft))},")
    lines.append(f"    owner={_literal(draft.owner)},")
    if draft.start:
        day = f"dt.date({draft.start.year}, {draft.start.month}, {draft.start.day})"
        lines.append("    # The first day with a file; earlier ones are not missed.")
        lines.append(f'    partition=by("{draft.partition}", "day", start={day}),')
    else:
        lines.append(f'    partition=by("{draft.partition}", "day"),')
    if draft.also_unique:
        lines.append(f"    # Unique and never empty as well: {', '.join(draft.also_unique)}")
    if draft.key:
        names = ", ".join(_literal(name) for name in draft.key)
        columns = f"({names}{',' if len(draft.key) == 1 else ''})"
        lines += _wrapped("    key=Key(", [columns, f'scope="{draft.scope}"'], "),")
    if draft.event_time:
        lines.append(f"    event_time={_literal(draft.event_time)},")
    return [*lines, "    freshness=timedelta(hours=36),", ")"]


def _per(draft: Draft) -> str:
    if not draft.key:
        return "record"
    return " and ".join(re.sub("_(id|no|nr)$", "", name).strip("_").replace("_", " ") for name in draft.key)


def _model(draft: Draft) -> list[str]:
    title = draft.table.replace("_", " ").capitalize()
    camel = "".join(part.capitalize() for part in draft.table.split("_"))
    lines = [f"class Staging{camel}(pa.DataFrameModel):", f'    """{title}, as they came."""', ""]
    lines += [f"    # {note}" for note in draft.notes]
    for column in draft.columns:
        lines += [f"    # {column.name}: {_plain(note)}" for note in column.notes]
        stated = [f"description={_literal(_described(column))}"]
        if column.name != column.facts.source:
            stated.append(f"source={_literal(column.facts.source)}")
        stated += [
            f"{name}={_literal(value)}" for name, value in (("format", column.format), ("pii", column.pii)) if value
        ]
        stated += ['decimal=","'] if column.decimal == "," else []
        stated += ["nullable=True"] if column.nullable else []
        stated += [f"{name}={_check(column, value)}" for name, value in column.checks]
        lines += _wrapped(f"    {column.name}: {ANNOTATIONS[column.kind]} = column(", stated, ")")
    return lines


def _described(column: DraftColumn) -> str:
    words = " ".join(column.name.strip("_").split("_"))
    return words[:1].upper() + words[1:]


def _check(column: DraftColumn, value: object) -> str:
    if isinstance(value, list) or (isinstance(value, str) and len(value) > 60):
        return _constant(column)
    return _pattern(value) if isinstance(value, str) else str(value)


def _constant(column: DraftColumn) -> str:
    return f"{column.name.strip('_').upper()}_{'VALUES' if isinstance(column.checks[0][1], list) else 'PATTERN'}"


def _literal(value: object) -> str:
    """A string as the formatter writes it: double quotes, unless that would need more escapes."""
    said = json.dumps(str(value), ensure_ascii=False)
    plain = str(value)
    return f"'{plain}'" if '"' in plain and "'" not in plain and "\\" not in plain else said


def _pattern(value: str) -> str:
    return f'r"{value}"' if '"' not in value and not value.endswith("\\") else _literal(value)


def _plain(words: str) -> str:
    """Words that may stand in a comment or a docstring."""
    return re.sub(r'[\\"\r\n]+', " ", words)


def _wrapped(head: str, parts: Sequence[str], tail: str) -> list[str]:
    line = head + ", ".join(parts) + tail
    indent = " " * (len(head) - len(head.lstrip()))
    return [line] if len(line) <= WIDTH else [head, *(f"{indent}    {part}," for part in parts), indent + tail]


def source_text(draft: Draft) -> str:
    """The module of `data_platform/sources`."""
    file = draft.file
    folder = draft.table if draft.table == draft.source else f"{draft.source}/{draft.table}"
    feed = [
        _literal(f"staging.{draft.table}"),
        _literal(f"{folder}/{{key}}.{file.format}"),
        _literal(file.format),
    ]
    feed += [f"delimiter={_literal(file.delimiter)}"] if file.delimiter != "," else []
    feed += [f"encoding={_literal(file.encoding)}"] if file.encoding != "utf-8" else []
    alone = f"    feeds=(Feed({', '.join(feed)}),),"
    return "\n".join([
        f'"""The feed of {draft.table}: one drop file per day. Declarations alone."""',
        "",
        "from __future__ import annotations",
        "",
        "from data_platform.sources.declare import Feed, Source",
        "",
        "SOURCE = Source(",
        f"    name={_literal(draft.source)},",
        f"    owner={_literal(draft.owner)},",
        f"    description={_literal('Files such as ' + _plain(file.path.name))},",
        *([alone] if len(alone) <= WIDTH else ["    feeds=(", *_wrapped("        Feed(", feed, "),"), "    ),"]),
        ")",
        "",
    ])  # fmt: skip
