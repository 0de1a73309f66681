"""Matrix Web Services over HTTP, every request signed with SCHMAC_V1: maps, slots, incidents, open connections."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from bench.hub import Hub, Memory, running_hub
from bench.processes import BenchError, Child, Usage
from bench.rows import Row, measured, required
from bench.scenarios import Bench, Scenario
from matrixhub.engines import read_running, read_secrets
from matrixhub.lifecycle import SystemClock
from matrixhub.model.access import Rate
from matrixhub.model.ids import ZoneId
from matrixhub.model.place_draft import ZoneDraft
from matrixhub.model.site import Site
from matrixhub.modules.access.keys import AccessKeyDraft, make_access_key
from matrixhub.modules.grids.zones import create_zones
from matrixhub.modules.work import Platform
from matrixhub.sources.sites import make_site
from matrixhub.store import open_database
from matrixhub.store.sealing import Sealer
from matrixhub.store.sites import apply_site

PLACES = 500
READS_PER_S_MIN = 1_000
CREATE_P99_MS_MAX = 30.0
CREATE_RATE = 100
MAP_RATE = 200.0
CONNECTIONS = 16
OPEN_CONNECTIONS = 10_000
OPEN_P99_TIMES_MAX = 2.0

MAP = {"service": "scgrids", "op": "scgrids.buildingZoneMap", "body": '{"ESK":""}'}
SLOTS = {"service": "scdevicemanagement", "op": "scdevicemanagement.getDeviceSlots", "body": "null"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Served:
    """A hub with a building of 500 zones and 500 slots, and a caller with an access key of its property."""

    hub: Hub
    caller: Child
    site: Site
    zone_id: ZoneId
    key: dict[str, str]

    def ask(self, do: str, service: str, op: str, body: str, **arguments: Any) -> dict[str, Any]:
        """Let the caller call an operation; whatever is not a success is an error of the benchmark."""
        query = {
            "op": op,
            "org": "ORCHARD",
            "pid": self.site.buildings[0].id,
            "propid": self.site.property.id,
        }
        told = self.caller.ask(
            do, timeout_s=180.0, url=self.hub.url, service=service, query=query, body=body, key=self.key, **arguments
        )
        if wrong := {status: count for status, count in told.get("statuses", {}).items() if status != "200"}:
            raise BenchError(f"{op}: answers with other statuses: {wrong}")
        return told


@contextmanager
def _served(bench: Bench) -> Iterator[Served]:
    with (
        running_hub(bench.directory, bench.receiver_url, bench.ca_pem) as hub,
        Child("bench.caller", bench.directory) as caller,
    ):
        site = make_site(PLACES, 1, name="Web services")
        key = asyncio.run(_furnish(hub, site))
        yield Served(hub=hub, caller=caller, site=site, zone_id=site.zones[0].id, key=key)


async def _furnish(hub: Hub, site: Site) -> dict[str, str]:
    running = read_running(hub.data)
    async with open_database(running["postgres_dsn"], connections_max=2) as database:
        await apply_site(database, site, remove=False)
        platform = Platform(database=database, clock=SystemClock())
        missing = PLACES - len(site.zones)
        drafts = [ZoneDraft(level_id=site.zones[0].level_id, name=f"Room {number}") for number in range(missing)]
        for start in range(0, missing, 100):
            await create_zones(
                platform, site.property.id, site.buildings[0].id, drafts[start : start + 100], actor="bench"
            )
        sealer = Sealer(read_secrets(hub.data).master_key)
        draft = AccessKeyDraft(name="bench", rate=Rate(per_s=1e6, burst=1_000_000))
        key, secret = await make_access_key(platform, sealer, site.property.id, draft)
        return {"access_key": key.access_key or "", "secret": secret.reveal()}


def reads(bench: Bench) -> Sequence[Row]:
    """The zone map of 500 zones and the slots of 500 devices, again and again."""
    with _served(bench) as served:
        rows: list[Row] = []
        for name, what in (("zone_map_500", MAP), ("device_slots_500", SLOTS)):
            bench.say(name)
            usage = Usage(hub=served.hub.pid, caller=served.caller.pid)
            told = served.ask("call", **what, connections=CONNECTIONS, seconds=bench.seconds)
            notes = (
                f"{told['calls']:,} calls on {CONNECTIONS} connections, {told['size_bytes'] / 1000:,.0f} kB an answer, "
                f"p50 {told['p50_ms']:.1f} ms, p99 {told['p99_ms']:.1f} ms; {usage.told()}"
            )
            rate = told["calls"] / told["took_s"]
            rows.append(required(name, rate, "requests/s", READS_PER_S_MIN, better="more", notes=notes))
        return rows


def creates(bench: Bench) -> Sequence[Row]:
    """100 incidents a second through createIncidentWithoutAssignee, from sent to answered."""
    with _served(bench) as served:
        incident = {
            "Incident": {
                "Name": "Tap drips",
                "Zone": served.zone_id,
                "By": "Guard desk",
                "Tasks": [{"Name": "Close valve"}],
            }
        }
        told = served.ask(
            "pace",
            service="scworkforcemanagement",
            op="scteams.createIncidentWithoutAssignee",
            body=json.dumps(incident),
            rate=CREATE_RATE,
            seconds=bench.seconds,
        )
    notes = f"{told['calls']:,} calls at {CREATE_RATE}/s, each a commit; highest {told['highest_ms']:.1f} ms"
    return [
        required("incident_request_p99", told["p99_ms"], "ms", CREATE_P99_MS_MAX, better="less", notes=notes),
        measured("incident_request_p50", told["p50_ms"], "ms"),
    ]


def crowded(bench: Bench) -> Sequence[Row]:
    """The zone map at 200/s alone, then beside 10,000 open connections."""
    seconds = bench.seconds / 2
    with _served(bench) as served:
        memory = Memory(served.hub.pid)  # asked twice, not all the time
        alone = served.ask("pace", **MAP, rate=MAP_RATE, seconds=seconds)
        before_mb = memory.now_mb()
        with Child("bench.caller", bench.directory, name="crowd") as crowd:
            beside = Served(hub=served.hub, caller=crowd, site=served.site, zone_id=served.zone_id, key=served.key)
            opened = beside.ask("open", **MAP, connections=OPEN_CONNECTIONS)
            together = served.ask("pace", **MAP, rate=MAP_RATE, seconds=seconds)
            grown_mb = memory.now_mb() - before_mb
    ratio = together["p99_ms"] / alone["p99_ms"]
    return [
        required(
            "open_connections_p99",
            ratio,
            "×",
            OPEN_P99_TIMES_MAX,
            better="less",
            problems=[] if opened["open"] == OPEN_CONNECTIONS else [f"only {opened['open']:,} connections were open"],
            notes=f"zone map at {MAP_RATE:.0f}/s: p50 {alone['p50_ms']:.1f}, p99 {alone['p99_ms']:.1f}, highest "
            f"{alone['highest_ms']:.1f} ms alone; {together['p50_ms']:.1f}, {together['p99_ms']:.1f}, "
            f"{together['highest_ms']:.1f} ms beside {opened['open']:,} open connections, each used once before",
        ),
        measured("open_connections_memory", grown_mb * 1024 / OPEN_CONNECTIONS, "KiB", "growth of RSS for each"),
    ]


SCENARIOS: Mapping[str, Scenario] = {
    "web_reads": reads,
    "incident_requests": creates,
    "open_connections": crowded,
}
