"""The live view on a terminal of 80 columns."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from matrixhub.cli.liveview import LiveState, render


def payload(devtype: str, display: str, v: object) -> str:
    fields = {"DevType": devtype, "Display": display, "time": "2024-03-10T08:05:09+0800", "v": v, "DEVID": "a"}
    return json.dumps(fields, separators=(",", ":"), ensure_ascii=False)


DEMO = LiveState(
    title="Matrix Hub · demo",
    accepted=1_234_567,
    delivered=1_234_500,
    pending=67,
    parked=0,
    expired=0,
    duplicates=500,
    out_of_order=0,
    p50_ms=0.94,
    p99_ms=12.4,
    rate_per_s=1_003.4,
    elapsed_s=12.0,
    total_s=20.0,
    last_payloads=(
        payload("SMARTCLEAN#PPLCTR", "Lobby door", {"count": 3, "out_count": 1}),
        payload("SMARTCLEAN#ODRDTR_10_IN_1", "Air 10in1 in the long corridor", {"temperature": 25.8, "co2": 640}),
    ),
    note="https://127.0.0.1:8443/readings",
)


def shown(state: LiveState, width: int = 80) -> list[str]:
    console = Console(width=width, file=io.StringIO(), record=True, color_system=None, legacy_windows=False)
    console.print(render(state))
    return [line.rstrip() for line in console.export_text().splitlines()]


def test_a_moment_of_the_demo_is_one_screen() -> None:
    assert shown(DEMO) == SCREEN


@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    lines = shown(replace(DEMO, delivered=123_456_789_012, last_payloads=["x" * 500, "é" * 500]), width)
    assert max(len(line) for line in lines) <= width
    assert len(lines) == len(SCREEN)


def test_counters_that_are_not_known_are_left_out() -> None:
    text = "\n".join(shown(LiveState(title="receiving", delivered=5)))
    assert "delivered" in text
    assert "accepted" not in text
    assert "pending" not in text
    assert "nothing has come yet" in text


def test_the_screen_keeps_its_height_while_payloads_come() -> None:
    heights = {len(shown(replace(DEMO, last_payloads=[DEMO.last_payloads[0]] * count))) for count in range(8)}
    assert len(heights) == 1


def test_text_from_outside_cannot_style_or_move_the_terminal() -> None:
    text = "\n".join(shown(replace(DEMO, last_payloads=[payload("T", "[red]x[/]\x1b[2J", {}), "\x1b]0;title\x07"])))
    assert "[red]x[/]" in text
    assert "\x1b" not in text
    assert "\x07" not in text


SCREEN = """\
Matrix Hub · demo                                       1,003 readings/s   00:12
────────────────────────────────────────────────────────────────────────────────
accepted        delivered       pending         parked          expired
1,234,567       1,234,500       67              0               0

duplicates      out of order    latency p50     latency p99
500             0               0.94 ms         12 ms

━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━                             12 of 20 s
╭─ last payloads ──────────────────────────────────────────────────────────────╮
│ 08:05:09 PPLCTR         Lobby door           {"count":3,"out_count":1}       │
│ 08:05:09 ODRDTR_10_IN_1 Air 10in1 in the lo… {"temperature":25.8,"co2":640}  │
│                                                                              │
│                                                                              │
│                                                                              │
╰──────────────────────────────────────────────────────────────────────────────╯
https://127.0.0.1:8443/readings
""".splitlines()
