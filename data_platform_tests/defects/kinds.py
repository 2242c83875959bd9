"""The kinds of defect, each with the one rule meant for it, and the clean rows they are planted in.

A kind changes some columns of a clean row. `texts` are what it puts there, one after the other; `{n}` is the number of
the row. Clean rows have unusual but valid shapes in every column, and a defect stands beside them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Row = dict[str, str]
DAY = "2026-02-03"
DEPOT, LATER_DEPOT = "D{:04d}", "D9{:03d}"


@dataclass(frozen=True)
class Kind:
    """`beside` are texts of other columns that the defect needs."""

    name: str
    column: str
    rule: str
    texts: tuple[str, ...]
    beside: Mapping[str, str] = field(default_factory=dict)

    def plant(self, row: Row, number: int) -> Row:
        text = self.texts[number % len(self.texts)].replace("{n}", str(number))
        return row | {**self.beside, self.column: text}

    def touches(self) -> set[str]:
        return {self.column, *self.beside}


def _cast(name: str, column: str, *texts: str) -> Kind:
    return Kind(name, column, f"{column}.cast", texts)


def _check(name: str, rule: str, *texts: str) -> Kind:
    return Kind(name, rule.partition(".")[0], rule, texts)


MISSING = (
    _check("required text missing", "carrier.not_null", ""),
    _check("required text only blanks", "title.not_null", " ", "   "),
    _check("required number missing", "pieces.not_null", "", " "),
    _check("required decimal missing", "price.not_null", "", "  "),
    _check("key missing", "parcel_id.not_null", "", " "),
    _check("event time missing", "sent_at.not_null", "", " "),
    _check("foreign key missing", "depot_id.not_null", "", " "),
)
NUMBERS = (
    _cast("words for an integer", "pieces", "three", "N/A", "null", "-", "+", "#{n}", "12 pcs", "1 2", "0x1F", "Ⅳ"),
    _cast("fraction for an integer", "stops", "12.7", "0.5", "-1.01", "{n}.9", "1.0000001"),
    _cast("scientific notation for an integer", "attempts", "1e3", "1E2", "2e0", "{n}e1"),
    _cast("thousands separator in an integer", "quantity", "1,000", "1.000,0", "1 000", "1'000", "1_000"),
    _cast("integer overflow, 64 bits", "stops", "9223372036854775808", "99999999999999999999{n}", "-9223372036854775809"),
    _cast("integer overflow, 16 bits", "floor", "32768", "-32769", "40000", "9{n}99999"),
    _cast("decimal comma", "price", "1,50", "0,5", "{n},99", "-3,00", ",50"),
    _cast("thousands separator in a decimal", "price", "1,000.00", "1.000.000", "1'000.50", "1 000.00", "{n},000.00"),
    _cast("currency beside a decimal", "price", "€5.00", "5.00 EUR", "$ {n}", "USD{n}.00", "5.-€"),
    _cast("too many decimals", "duty", "0.125", "1.001", "{n}.999", "0.1000000000004", "-0.005"),
    _cast("decimal overflow", "duty", "10000000000000000", "99999999999999999999{n}.00", "-10000000000000000.00"),
    _cast("scientific notation for a decimal", "duty", "1e2", "1.5E3", "{n}e-1"),
    _cast("NaN or infinity for a decimal", "price", "nan", "inf", "-Infinity", "NaN"),
    _cast("NaN for a double", "weight", "nan", "NaN", "NAN", "-nan"),
    _cast("infinity for a double", "weight", "inf", "-inf", "Infinity", "+infinity"),
    _cast("double overflow", "weight", "1e309", "-1e400", "9e9{n}99"),
    _cast("words for a double", "load_factor", "half", "50%", "0,5", "1/2", "0.5.5", "--1", "0.{n} m³"),
    _cast("no boolean", "is_fragile", "maybe", "2", "ja", "wahr", "truee", "-1", "{n}9"),
)  # fmt: skip
TIMES = (
    _cast("impossible date", "shipped_on", "2026-02-30", "2026-13-01", "2025-02-29", "2026-00-10", "2026-01-00", "1900-02-29"),
    _cast("date in another notation", "shipped_on", "03/02/2026", "3.2.2026", "20260203", "2026/02/03", "Feb 3 2026", "2026-2-3"),
    _cast("time of day in a date", "delivered_on", "2026-02-03 13:00", "2026-02-03T00:00:00Z", "2026-02-03 00:00:00"),
    _cast("number for a date", "delivered_on", "46056", "1770076800", "0", "{n}"),
    _cast("infinite date", "insured_on", "infinity", "-infinity", "epoch", "today", "now"),
    _cast("year out of range in a date", "insured_on", "0000-01-01", "10000-01-01", "99999-12-31", "2026-02-03 (BC)", "-2026-02-03"),
    _cast("not the stated format of a date", "booked_on", "2026-02-03", "02/03/2026", "3.Feb.2026", "03.02.26.", "03-02-2026"),
    _cast("impossible date of a stated format", "booked_on", "31.02.2026", "29.02.2025", "01.13.2026", "00.01.2026"),
    _cast("not the stated format of a time", "signed_at", "2026-02-03 10:00", "03.02.2026 10:00", "03/02/2026", "03/02/2026T10:00"),
    _cast("impossible time of a stated format", "signed_at", "30/02/2026 10:00", "03/13/2026 10:00", "03/02/2026 25:00", "03/02/2026 10:60"),
    _cast("impossible time", "scanned_at", "2026-02-03 25:00:00", "2026-02-03 10:61:00", "2026-02-30 10:00:00", "2026-02-03 10:00:99"),
    _cast("words for a time", "scanned_at", "yesterday", "noon", "1770076800", "{n}", "10:00:00"),
    _cast("impossible UTC offset", "scanned_at", "2026-02-03 10:00:00+99:99", "2026-02-03T10:00:00+15:00", "2026-02-03T10:00:00+01:00:00", "2026-02-03T10:00:00+", "2026-02-03 10:00:00 +5"),
    _cast("year out of range in a time", "scanned_at", "0000-01-01 00:00:00", "9999-12-31T23:00:00-05:00", "2026-01-02 (BC)", "infinity"),
    _cast("event time that is none", "sent_at", "x", "2026-02-31 10:00:00", "03/02/2026 10:00"),
)  # fmt: skip
CHECKS = (
    _check("no match of a pattern", "parcel_id.matches", "P{n}", "p00000001", "X00000001", "P0000000A", "P000000001", "P٠٠٠٠٠٠٠١"),
    _check("match after the start only", "size_class.matches", "MXL", "3XL", "{n}XL", "xXL"),
    _check("value not in the list", "carrier.isin", "UPS", "dhl", "DHL ?", "Osterreichische Post", "O'Neil", "carrier {n}"),
    _check("value in the forbidden list", "channel.notin", "test", "unknown", " test "),
    _check("wrong start", "reference.startswith", "ref_{n}", "REFX{n}", "_REF_", "RE", "{n}REF_"),
    _check("wrong end", "document.endswith", "{n}.PDF", "a.pdf.exe", "pdf", "a.pdf?{n}", "apdf"),
    _check("nothing of the pattern inside", "tracking_url.contains", "ftp://a.example", "http://A.example", "https:/a.example", "{n}"),
    _check("text too short", "title.length", "a", "ab", "éé", "🙂"),
    _check("text too long", "title.length", "x" * 41, "é" * 41, "🙂" * 50, "{n}" + "y" * 60),
    _check("text not of the length", "postcode.length", "1234", "123456", "ABCD ", "1{n}23456"),
    _check("not the one value", "currency.eq", "USD", "eur", "EURO", "€", "E{n}"),
    _check("the one forbidden value", "remark.ne", "n/a", " n/a"),
    _check("text in a wrong encoding", "recipient.matches", "JosÃ© MÃ¼ller", "FranÃ§ois {n}", "Gr\ufffd\ufffde", "Â£ {n}", "BjÃ¶rk"),
    _check("control character", "instruction.matches", "ring\ttwice", "a\x07b", "{n}\x1b[0m", "a\x7fb", "x\x85y", "a\nb"),
    _check("number not above a bound", "pieces.gt", "0", "-1", "-{n}", "-9223372036854775808", "0.0"),
    _check("number below a bound", "stops.ge", "0", "-{n}", "-1.0"),
    _check("number not below a bound", "attempts.lt", "10", "1{n}", "9223372036854775807", "+10"),
    _check("number above a bound", "floor.le", "201", "32767", "0201"),
    _check("number outside a range", "quantity.in_range", "0", "1001", "-1", "1001{n}"),
    _check("decimal below a bound", "price.ge", "-0.01", "-1", "-{n}.50", "-9999999999999999.99"),
    _check("decimal not below a bound", "duty.lt", "1000000", "1000000.00", "9999999999999999.99", "1{n}000000"),
    _check("double not above a bound", "weight.gt", "0", "-0.0", "-1e-300", "-{n}.5", "-1.7e308"),
    _check("double outside a half-open range", "load_factor.in_range", "1", "1.0000000000000002", "-1e-9", "{n}1", "1e300"),
    _check("date below a bound", "insured_on.ge", "1999-12-31", "0001-01-01", "1970-01-01"),
    Kind("two dates in the wrong order", "delivered_on", "delivered_after_shipped", ("2026-01-31", "0001-01-01"), {"shipped_on": "2026-02-01"}),
    _check("parent that does not exist", "depot_id.exists", "D8{n}", "d0001", "nobody", "D0001x"),
    Kind("parent that arrives only later", "depot_id", "depot_id.exists", tuple(LATER_DEPOT.format(n) for n in range(20))),
    _check("event in the future", "sent_at.future", "2026-02-04 00:00:00", "9999-12-31 23:59:59", "2026-02-03T23:30:00-01:00"),
)  # fmt: skip
LATE = _check(
    "late event", "sent_at.late", "2026-02-02 23:59:59.999999", "0001-01-01 00:00:00", f"{DAY}T00:30:00+01:00"
)
IN_COLUMNS = (*MISSING, *NUMBERS, *TIMES, *CHECKS, LATE)

UNREADABLE: Mapping[str, tuple[bytes, ...]] = {
    "unreadable: too few values": (b"one,two", b"lonely"),
    "unreadable: too many values": (b",".join([b"x"] * 60),),
    "unreadable: bytes that are no UTF-8": (b"\xff\xfe,%s", b"%s,caf\xe9", b"%s,\xc3("),
    "unreadable: NUL byte": (b"%s,\x00", b"\x00%s"),
    "unreadable: text after a closing quote": (b'"a"b,%s',),
    "unreadable: bare carriage return": (b"a\rb,%s",),
}  # fmt: skip

VALID: Mapping[str, tuple[str, ...]] = {
    "carrier": ("DHL", "GLS", "Österreichische Post", "O'Neil & Co", "  DHL  "),
    "channel": ("web", "Test", "testing", "テスト", "UNKNOWN", "un known", "0"),
    "reference": ("REF_", "REF_1", "REF_%", "REF_é🙂", " REF_x ", "REF_'; DROP TABLE parcels; --"),
    "document": ("", ".pdf", "a.pdf", "ü ñ.pdf", "a.exe.pdf", "  b.pdf "),
    "tracking_url": ("", "https://a.example", "http://abc.example/?q=a,b", "see https://x.example now"),
    "title": ("abc", "éèê", "🙂🙂🙂", "x" * 40, "🙂" * 40, 'say "hi", ok', "  abc  ", "tab\tin it", "两行\n字", "NULL", "nan", "=1+1", "a;b|c"),
    "postcode": ("", "12345", "AB1 2", "é🙂é🙂é", "  01234  "),
    "currency": ("", "EUR", " EUR "),
    "remark": ("", "N/A", "n / a", "NA", "null", "-", "\\N", "\\", "''", "{}", "none"),
    "recipient": ("", "José Müller", "Ångström", "Âme", "Ã", "李小龍", "Łukasz", "O’Neil", "ÂÃ", "naïve"),
    "instruction": ("", "ring twice", "über 🙂", "a\u00a0b", "c:\\temp", "100 %"),
    "size_class": ("", "S", "XL", "Small", "XLarge"),
    "pieces": ("1", "+1", "007", "9223372036854775807", "3.0", "3.", " 5 ", "+2.000"),
    "stops": ("", "1", "+9", "9223372036854775807", "1.00"),
    "attempts": ("", "0", "9", "-9223372036854775808", "-0", "-1.0", "+3"),
    "floor": ("", "-32768", "200", "0", "+199", "-1"),
    "quantity": ("", "1", "1000", "0999", "1000.0", " 500 "),
    "price": ("0", "0.00", "-0", ".5", "5.", "+1.50", "9999999999999999.99", "1.500", "00012.30", " 3.1 ", "2.1000000000000000000000"),
    "duty": ("", "999999.99", "-9999999999999999.99", "0.01", "+0.10", "-.5"),
    "weight": ("", "1e-300", "1.7e308", "+5", ".5", "5.", "1E3", "0.1", "123456789.123456789", " 2 "),
    "load_factor": ("", "0", "-0.0", "0.9999999999999999", "1e-9", "+0.5", ".5"),
    "is_fragile": ("", "true", "false", "TRUE", "t", "f", "1", "0", "yes", "no", " true "),
    "insured_on": ("", "2000-01-01", "9999-12-31", "2000-02-29", " 2024-02-29 "),
    "booked_on": ("", "03.02.2026", "29.02.2024", "31.12.9999", "01.01.0001", " 03.02.2026 "),
    "shipped_on": ("", "0001-01-01", "2026-02-01", "2024-02-29"),
    "delivered_on": ("", "2026-02-01", "2026-02-02", "9999-12-31"),
    "signed_at": ("", "03/02/2026 10:00", "29/02/2024 23:59", "31/12/9999 00:00"),
    "scanned_at": ("", "2026-02-03 10:00:00", "2026-02-03T10:00:00Z", "2026-02-03 10:00:00 UTC", "2026-02-03 10:00:00+05:30", "2026-02-03 10:00:00+14:00", "2026-02-03 10:00:00-0330",
                   "0001-01-01 00:00:00", "9999-12-31 23:59:59.999999", "2024-02-29 00:00", "2026-02-03 10:00:00.123456+01"),
}  # fmt: skip
SENT = ("{day} 00:00:00", "{day} 23:59:59.999999", "{day}T12:00:00Z", "{day} 01:30:00+01:30", "{day}T22:59:59-01:00", " {day} 12:00 ")  # fmt: skip


def clean_row(number: int, day: str) -> Row:
    """A valid row; no two have the same key. Columns take their shapes at different strides, so that shapes mix."""
    shapes = {
        column: texts[(number // (1 + place % 3) + place) % len(texts)]
        for place, (column, texts) in enumerate(VALID.items())
    }
    sent = SENT[number % len(SENT)].format(day=day)
    return {"parcel_id": f"P{number:08d}", **shapes, "depot_id": DEPOT.format(number % 50), "sent_at": sent}
