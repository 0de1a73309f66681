"""When each zone was last cleaned, inferred from events alone: what a subscriber to tasks can know without asking.

    python examples/last_clean.py < bodies.jsonl

reads bodies of pushes, one JSON array of events a line, and prints a line for each zone. Repeats and a wrong order
of events do no harm. Subscribe to `matrix.*.scworkforcemanagement.TASK_STARTED.*` and `….TASK_COMPLETED.*`.
Source: docs/contract/event-bus.md §4, §5
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True)
class Cleaning:
    """What is known of a zone, in epoch seconds: when work was last completed, and since when some is under way."""

    zone_name: str
    last_clean_at: int | None = None
    under_way_since: int | None = None


def last_clean_times(events: Iterable[Mapping[str, Any]]) -> dict[str, Cleaning]:
    """The cleaning of every zone that a task was started or completed in, by zone id."""
    found: dict[str, Cleaning] = {}
    began: dict[str, tuple[str, int]] = {}
    ended: set[str] = set()
    for event in events:
        meta = event["Meta"]
        zone, task = meta["Zone"], meta["TaskId"]
        if event["Event"] not in ("TASK_STARTED", "TASK_COMPLETED", "TASK_INCOMPLETE"):
            continue
        known = found.setdefault(zone, Cleaning(meta["ZoneName"]))
        if event["Event"] == "TASK_STARTED":
            began[task] = (zone, meta["AStart"])
        else:
            ended.add(task)
        if event["Event"] == "TASK_COMPLETED":
            found[zone] = replace(known, last_clean_at=max(known.last_clean_at or 0, meta["AEnd"]))
    for task, (zone, since) in began.items():
        if task not in ended:
            known = found[zone]
            found[zone] = replace(known, under_way_since=min(known.under_way_since or since, since))
    return found


def shown(seconds: int | None) -> str:
    """The instant for people."""
    return datetime.fromtimestamp(seconds, UTC).isoformat() if seconds else "unknown"


def main() -> None:
    """Read bodies, print zones."""
    events = (event for line in sys.stdin if line.strip() for event in json.loads(line))
    for zone, cleaning in sorted(last_clean_times(events).items()):
        now = f", being cleaned since {shown(cleaning.under_way_since)}" if cleaning.under_way_since else ""
        sys.stdout.write(f"{cleaning.zone_name} ({zone}): last cleaned {shown(cleaning.last_clean_at)}{now}\n")


if __name__ == "__main__":
    main()
