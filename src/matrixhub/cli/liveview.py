"""What `demo` and `receive` show while they run: one screen of counters, made from a value by a pure function."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import msgspec
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

PAYLOADS_SHOWN = 5

_COLUMNS = 5


class RateMeter:
    """The rate of a growing count over the last seconds."""

    def __init__(self, over_s: float = 3.0) -> None:
        self._over_s = over_s
        self._points: deque[tuple[float, int]] = deque()

    def per_s(self, at_s: float, count: int) -> float:
        """The rate, given that the count is this now."""
        self._points.append((at_s, count))
        while len(self._points) > 2 and self._points[1][0] <= at_s - self._over_s:
            self._points.popleft()
        first_s, first = self._points[0]
        return (count - first) / (at_s - first_s) if at_s > first_s else 0.0


@contextmanager
def live_screen(console: Console) -> Iterator[Callable[[LiveState], None]]:
    """A function that shows a moment of the run; it does nothing where no one looks."""
    if not console.is_terminal:
        yield lambda _state: None
        return
    with Live(console=console, auto_refresh=False, transient=True) as live:
        yield lambda state: live.update(render(state), refresh=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class LiveState:
    """A moment of a run. A counter that is None is not known to this command and is left out."""

    title: str
    accepted: int | None = None
    delivered: int | None = None
    pending: int | None = None
    parked: int | None = None
    expired: int | None = None
    duplicates: int = 0
    out_of_order: int = 0
    p50_ms: float | None = None
    p99_ms: float | None = None
    rate_per_s: float = 0.0
    elapsed_s: float = 0.0
    total_s: float | None = None
    last_payloads: Sequence[str] = ()
    note: str = ""


def render(state: LiveState) -> RenderableType:
    """The moment as a screen of at least 60 columns, made for 80."""
    parts: list[RenderableType] = [_header(state), *_counters(state)]
    if state.total_s is not None:
        parts.append(_progress(state.elapsed_s, state.total_s))
    parts.append(_payloads(state.last_payloads))
    if state.note:
        parts.append(Text(state.note, style="dim"))
    return Group(*parts)


def shortened_ms(value: float | None) -> str:
    """A latency in at most eight characters.

    >>> [shortened_ms(v) for v in (None, 0.94, 12.3, 1234.0, 125_000.0, 9_000_000.0, 400_000_000.0)]
    ['–', '0.94 ms', '12 ms', '1.2 s', '125 s', '150 min', '111 h']
    """
    if value is None:
        return "–"
    if value < 9.95:
        return f"{value:.2f} ms"
    if value < 999.5:
        return f"{value:.0f} ms"
    seconds = value / 1000
    if seconds < 600:
        return f"{seconds:.1f} s" if seconds < 99.5 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 36_000 else f"{seconds / 3600:,.0f} h"


def _header(state: LiveState) -> RenderableType:
    minutes, seconds = divmod(int(state.elapsed_s), 60)
    row = Table.grid(expand=True, padding=(0, 1))
    row.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    row.add_column(justify="right", no_wrap=True)
    row.add_row(
        Text(state.title, style="bold"), Text(f"{state.rate_per_s:,.0f} readings/s   {minutes:02d}:{seconds:02d}")
    )
    return Group(row, Rule(style="dim"))


def _counters(state: LiveState) -> list[RenderableType]:
    way = [
        _counter("accepted", state.accepted),
        _counter("delivered", state.delivered, "green"),
        _counter("pending", state.pending),
        _counter("parked", state.parked, "yellow" if state.parked else ""),
        _counter("expired", state.expired, "yellow" if state.expired else ""),
    ]
    quality = [
        _counter("duplicates", state.duplicates, "yellow" if state.duplicates else "green"),
        _counter("out of order", state.out_of_order, "red" if state.out_of_order else "green"),
        ("latency p50", Text(shortened_ms(state.p50_ms))),
        ("latency p99", Text(shortened_ms(state.p99_ms))),
    ]
    return [_row_of([c for c in way if c is not None]), _row_of([c for c in quality if c is not None])]


def _counter(name: str, value: int | None, style: str = "") -> tuple[str, Text] | None:
    return None if value is None else (name, Text(f"{value:,}", style=f"bold {style}".strip()))


def _row_of(counters: Sequence[tuple[str, Text]]) -> RenderableType:
    """Names above values, always in the same columns, so that the rows line up."""
    table = Table(box=None, expand=True, padding=(0, 1, 0, 0), header_style="dim", pad_edge=False)
    for index in range(_COLUMNS):
        table.add_column(counters[index][0] if index < len(counters) else "", ratio=1, no_wrap=True)
    table.add_row(*(value for _, value in counters))
    return Padding(table, (0, 0, 1, 0))


def _progress(elapsed_s: float, total_s: float) -> RenderableType:
    row = Table.grid(expand=True, padding=(0, 1))
    row.add_column(ratio=1)
    row.add_column(justify="right", no_wrap=True)
    done_s = min(elapsed_s, total_s)
    row.add_row(
        ProgressBar(total=max(total_s, 0.001), completed=done_s), Text(f"{int(done_s)} of {total_s:g} s", style="dim")
    )
    return row


def _payloads(payloads: Sequence[str]) -> RenderableType:
    lines = Table.grid(expand=True, padding=(0, 1))
    lines.add_column(no_wrap=True, overflow="ellipsis", width=8)
    lines.add_column(no_wrap=True, overflow="ellipsis", max_width=16, style="cyan")
    lines.add_column(no_wrap=True, overflow="ellipsis", max_width=20)
    lines.add_column(no_wrap=True, overflow="ellipsis", ratio=1, style="dim")
    for payload in payloads[-PAYLOADS_SHOWN:]:
        lines.add_row(*_payload_cells(payload))
    shown: RenderableType = lines if payloads else Text("nothing has come yet", style="dim")
    # A fixed height, so that the screen does not jump while the first payloads come.
    return Panel(shown, title="last payloads", title_align="left", height=PAYLOADS_SHOWN + 2, border_style="dim")


class _Payload(msgspec.Struct):
    devtype: str = msgspec.field(name="DevType", default="")
    display: str = msgspec.field(name="Display", default="")
    time: str = ""
    v: msgspec.Raw = msgspec.Raw(b"{}")
    event: str = msgspec.field(name="Event", default="")
    description: str = msgspec.field(name="Description", default="")
    unix_time: int = msgspec.field(name="UnixTimeInt", default=0)
    status: str = msgspec.field(name="Status", default="")


def _payload_cells(payload: str) -> tuple[Text, Text, Text, Text]:
    """Time of day, type without its provider, name and values; of an event, its time, priority, name and description.

    Text that is neither goes into the last cell.
    """
    try:
        reading = msgspec.json.decode(payload, type=_Payload)
    except ValueError:
        return Text(), Text(), Text(), Text(_one_line(payload))
    if reading.event:
        return (
            Text(time.strftime("%H:%M:%S", time.localtime(reading.unix_time))),
            Text(_one_line(reading.status)),
            Text(_one_line(reading.event)),
            Text(_one_line(reading.description)),
        )
    return (
        Text(reading.time[11:19]),
        Text(_one_line(reading.devtype.rpartition("#")[2])),
        Text(_one_line(reading.display)),
        Text(_one_line(bytes(reading.v).decode())),
    )


def _one_line(text: str) -> str:
    """The text without what would move the cursor; names come from outside."""
    return "".join(c if c.isprintable() else " " for c in text)
