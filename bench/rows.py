"""What a benchmark says: rows with a value, what it must reach, and whether it does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from rich.table import Table
from rich.text import Text

Better = Literal["more", "less"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One figure. `ratio` is value / limit, or value / peer where `against` names the peer; `passed` is None where
    nothing is required of it."""

    name: str
    value: float | None
    unit: str
    limit: float | None = None
    better: Better = "more"
    ratio: float | None = None
    against: str = ""
    passed: bool | None = None
    notes: str = ""


def measured(name: str, value: float, unit: str, notes: str = "") -> Row:
    """A figure of which nothing is required."""
    return Row(name=name, value=value, unit=unit, notes=notes)


def required(
    name: str, value: float, unit: str, limit: float, *, better: Better, problems: Sequence[str] = (), notes: str = ""
) -> Row:
    """A figure that must reach its limit, with nothing else wrong.

    >>> required("speed", 90.0, "m/s", 100.0, better="more").passed
    False
    >>> required("wait", 2.0, "ms", 3.0, better="less", problems=["3 readings are lost"]).passed
    False
    """
    reached = value >= limit if better == "more" else value <= limit
    return Row(
        name=name,
        value=value,
        unit=unit,
        limit=limit,
        better=better,
        ratio=value / limit,
        against="limit",
        passed=reached and not problems,
        notes="; ".join((*problems, notes) if notes else problems),
    )


def failed(name: str, reason: str) -> Row:
    """A scenario that did not come to an end."""
    return Row(name=name, value=None, unit="", passed=False, notes=reason)


def skipped(name: str, reason: str) -> Row:
    """A scenario that cannot be run here."""
    return Row(name=name, value=None, unit="", notes=f"skipped: {reason}")


RATIOS = (
    ("hub_per_celery_batch500", "ingest_batched_end_to_end", "celery_redis_batch500"),
    ("hub_per_celery_batch1", "ingest_single_end_to_end", "celery_redis_batch1"),
    ("hub_push1_per_celery_batch1", "hub_push_batch1", "celery_redis_batch1"),
    ("hub_per_bare_sender_batch500", "ingest_batched_end_to_end", "bare_sender_batch500"),
    ("hub_push1_per_bare_sender_batch1", "hub_push_batch1", "bare_sender_batch1"),
)
"""Name of the ratio, row above, row below; all five rows are readings a second."""


def compare(rows: Iterable[Row]) -> list[Row]:
    """The ratios whose two figures are there."""
    values = {row.name: row.value for row in rows if row.value}
    return [
        Row(
            name=name,
            value=values[ours] / values[peer],
            unit="×",
            ratio=values[ours] / values[peer],
            against=peer,
            notes=f"{ours} / {peer}",
        )
        for name, ours, peer in RATIOS
        if ours in values and peer in values
    ]


def document(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """The rows as JSON holds them."""
    return [asdict(row) for row in rows]


def table(rows: Iterable[Row]) -> Table:
    """The rows as people read them."""
    made = Table("what", box=None, pad_edge=False)
    for name in ("value", "required", "ratio"):
        made.add_column(name, justify="right", no_wrap=True)
    made.add_column("")
    made.add_column("notes", overflow="fold", style="dim")
    for row in rows:
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        made.add_row(row.name, _value(row), _limit(row), ratio, _verdict(row), Text(row.notes))
    return made


def markdown(rows: Iterable[Row]) -> str:
    """The rows as docs/benchmarks.md holds them."""
    lines = ["| what | value | required | ratio | | notes |", "|---|--:|--:|--:|---|---|"]
    for row in rows:
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        notes = row.notes.replace("|", "\\|")
        lines.append(f"| `{row.name}` | {_value(row)} | {_limit(row)} | {ratio} | {_verdict(row).plain} | {notes} |")
    return "\n".join(lines) + "\n"


def _value(row: Row) -> str:
    return "—" if row.value is None else f"{_number(row.value)} {row.unit}"


def _limit(row: Row) -> str:
    return "" if row.limit is None else f"{'≥' if row.better == 'more' else '≤'} {_number(row.limit)}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.2f}"


def _verdict(row: Row) -> Text:
    verdicts: dict[bool | None, Callable[[], Text]] = {
        True: lambda: Text("pass", "green"),
        False: lambda: Text("FAIL", "bold red"),
        None: lambda: Text("skipped" if row.value is None else "", "yellow"),
    }
    return verdicts[row.passed]()
