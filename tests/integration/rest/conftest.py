"""One served REST face for all tests of a process; each test has properties of its own on it."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from tests.integration.rest.rig import LOCAL_KEY, Client, Rig

from matrixhub.api import HttpServer, Parts, make_app
from matrixhub.bus import StreamSettings, open_buses
from matrixhub.config import load_settings
from matrixhub.databases.sheet import Place
from matrixhub.deliveries.destinations.https import open_https_sender
from matrixhub.deliveries.key_sets import open_key_sets
from matrixhub.engines import DataDirectory, open_engines
from matrixhub.lifecycle import SystemClock
from matrixhub.model.application import Quota
from matrixhub.model.egress import Allowance
from matrixhub.model.policy import BatchLimits, Policy
from matrixhub.modules.access import make_access
from matrixhub.observe import Fact, Metrics, ignore
from matrixhub.store import open_database
from matrixhub.store.keys import keep_local_key
from matrixhub.store.pool import migrate
from matrixhub.store.sealing import Sealer
from matrixhub.store.subscriptions import Codec
from matrixhub.store.versions import Versions
from matrixhub.testing.tls import LocalAuthority
from matrixhub.testing.tokens import MemoryTokens

MEDIA_BYTES_MAX = 4 * 1024 * 1024
EGRESS_ALLOW = ("127.0.0.0/8",)


@pytest.fixture(scope="session")
def data() -> Iterator[Path]:
    """A data directory that the engines' user can reach, which pytest's own is not."""
    top = Path(tempfile.mkdtemp(prefix="mh-rest-"))
    top.chmod(0o755)
    yield top / "data"
    shutil.rmtree(top)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def rig(data: Path) -> AsyncIterator[Rig]:
    facts: list[Fact] = []
    codec = Codec(sealer=Sealer("0f" * 32), policy=Policy(connect_timeout_s=2.0, total_timeout_s=5.0))
    ca_file = data.parent / "ca.pem"
    ca_file.write_text(LocalAuthority().ca_pem, encoding="ascii")
    with DataDirectory.open(data) as directory:
        async with (
            open_engines(directory, load_settings(None, {}).engines, ignore) as engines,
            open_database(engines.endpoints.postgres_dsn, connections_max=8) as database,
            open_buses(engines.endpoints.nats_url, StreamSettings(), ignore) as buses,
            open_https_sender(Allowance.of(EGRESS_ALLOW), MemoryTokens(), SystemClock()) as sender,
            open_key_sets(Allowance.of(EGRESS_ALLOW), facts.append) as key_sets,
            aiohttp.ClientSession() as session,
        ):
            await migrate(database, ignore)
            await keep_local_key(database, LOCAL_KEY)
            versions = Versions(database)
            hub = Parts(
                database=database,
                versions=versions,
                # Whoever tests with wrong keys does so many times, from one address.
                access=make_access(database, versions, codec.sealer, wrong_max=100_000),
                codec=codec,
                buses=buses,
                sender=sender,
                key_sets=key_sets,
                clock=SystemClock(),
                limits=BatchLimits(),
                allowed_to_all=EGRESS_ALLOW,
                quota=Quota(),
                unhealthy_after_s=3600.0,
                media_bytes_max=MEDIA_BYTES_MAX,
                hosting=Place(ca_path=ca_file),
            )
            server, stop = HttpServer("127.0.0.1", 0, 1.0), asyncio.Event()
            serving = asyncio.create_task(server.run(make_app({}, Metrics(), None, hub, facts.append), stop))
            yield Rig(f"{server.url}/hub/v1", database, codec, buses, session, facts, hub)
            stop.set()
            await serving


@pytest_asyncio.fixture(loop_scope="session")
async def client(rig: Rig) -> Client:
    """A client with a key of a property of its own, which may manage."""
    return await rig.client()
