"""Customers' readers from elsewhere: a PostgreSQL with TLS, its certificate, and who is let in beyond loopback."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pytest
import pytest_asyncio
from tests.engines import Dsns, data_directory
from tests.hosting import SEALER, Hosted

from matrixhub.config import load_settings
from matrixhub.databases.hosted import HostedDatabases
from matrixhub.databases.sheet import Address, Place, read_address, ways_of
from matrixhub.engines import DataDirectory, authority_path, open_engines
from matrixhub.engines.certificates import RENEW_BEFORE, SERVER_TIME, issue, kept_authority
from matrixhub.engines.embedded import EmbeddedEngines
from matrixhub.model.database import Limits
from matrixhub.observe import ignore
from matrixhub.sources.sites import make_site
from matrixhub.store import open_database
from matrixhub.store.pool import migrate
from matrixhub.store.sites import apply_site
from matrixhub.testing.tls import LocalAuthority

SYSTEM_POSTGRES = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), reverse=True)
ELSEWHERE = next(
    (
        address.address
        for addresses in psutil.net_if_addrs().values()
        for address in addresses
        if address.family == socket.AF_INET and not ipaddress.ip_address(address.address).is_loopback
    ),
    "",
)
pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(not SYSTEM_POSTGRES, reason="no PostgreSQL of the distribution"),
    pytest.mark.skipif(not ELSEWHERE, reason="this machine has no address but loopback"),
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Served:
    """A hosted database on a server that listens beyond loopback."""

    engines: EmbeddedEngines
    hosted: Hosted
    address: Address
    data: Path

    async def connect(self, **different: Any) -> Any:
        """As the customer, from elsewhere and knowing the server by its authority."""
        context = ssl.create_default_context(cadata=self.address.ca_pem)
        asked = {
            "host": ELSEWHERE,
            "port": self.address.port,
            "user": self.hosted.record.reader,
            "password": self.hosted.password.reveal(),
            "database": self.hosted.record.server.database,
            "ssl": context,
            **different,
        }
        return await asyncpg.connect(**asked)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served() -> AsyncIterator[Served]:
    changes = {"engines.postgres.bin_dir": str(SYSTEM_POSTGRES[0].parent)}
    with data_directory() as data, DataDirectory.open(data) as directory:
        engines_settings = load_settings(None, {}, changes).engines
        async with open_engines(
            directory, engines_settings, ignore, listen=[ELSEWHERE], host="db.example.org"
        ) as engines:
            dsns = Dsns(socket=engines.endpoints.postgres_dsn, tcp=engines.endpoints.postgres_tcp_dsn)
            async with open_database(dsns.socket, connections_max=3) as database:
                await migrate(database, ignore)
                site = make_site(3)
                await apply_site(database, site, remove=False)
                desk = HostedDatabases(database, SEALER, ours=True)
                made = await desk.create(site.property.id, "reports", Limits())
                hosted = Hosted(desk=desk, record=made.record, password=made.password, dsns=dsns)
                place = Place(listen=[ELSEWHERE], ca_path=authority_path(data))
                address = await read_address(database, place)
                yield Served(engines=engines, hosted=hosted, address=address, data=data)


async def test_a_reader_comes_in_from_elsewhere_and_knows_the_server(served: Served) -> None:
    assert (served.address.host, served.address.tls) == (ELSEWHERE, True)
    connection = await served.connect()
    try:
        assert await connection.fetchval("select count(*) from matrix.sensor_data") == 0
    finally:
        await connection.close()


async def test_a_reader_without_tls_is_not_let_in_from_elsewhere_but_on_loopback(served: Served) -> None:
    with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError, match="no encryption"):
        await served.connect(ssl=False)
    connection = await served.connect(host="127.0.0.1", ssl=False)
    await connection.close()


async def test_a_server_is_not_believed_that_another_authority_vouches_for(served: Served) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        await served.connect(ssl=LocalAuthority().client_context())


async def test_only_customers_readers_come_in_from_elsewhere(served: Served) -> None:
    hub = served.hosted
    for user, password in (
        ("matrixhub", "x"),
        (hub.names.writer, hub.record.server.password.reveal()),
        (hub.names.owner, "x"),
        ("nobody", "x"),
    ):
        with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError, match=r"no pg_hba\.conf entry"):
            await served.connect(user=user, password=password)
    with pytest.raises(asyncpg.InvalidPasswordError):
        await served.connect(password="x")


async def test_psql_connects_as_the_sheet_says(served: Served, tmp_path: Path) -> None:
    ca_file = tmp_path / "ca.pem"
    ca_file.write_text(served.address.ca_pem)
    way = ways_of(served.hosted.record, served.address)["psql"]
    url = way.removeprefix('psql "').removesuffix('"').replace("matrixhub-ca.pem", str(ca_file))
    psql = SYSTEM_POSTGRES[0].with_name("psql")
    done = await asyncio.create_subprocess_exec(
        *(str(psql), "-XAtc", "select count(*) from matrix.events", url),
        env={"PGPASSWORD": served.hosted.password.reveal()},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await done.communicate()
    assert (out.decode().strip(), err.decode()) == ("0", "")


async def test_the_certificate_is_renewed_without_a_restart(served: Served) -> None:
    before, now = await serial(served), datetime.now(UTC)
    assert not await served.engines.renew(now)
    # As if it had been issued two months ago.
    old = issue(
        kept_authority(served.data, now), ["localhost"], now - SERVER_TIME + RENEW_BEFORE - timedelta(minutes=1)
    )
    (served.data / "postgres" / "matrixhub.pem").write_text(old)
    assert await served.engines.renew(now)
    async with asyncio.timeout(20):  # a reload is heard a moment later
        shown = before
        while shown == before:
            shown = await serial(served)
    assert not await served.engines.renew(now)


async def serial(served: Served) -> str:
    """The number of the certificate that the server shows now, having been verified for each of its names."""
    numbers = set()
    for name in (ELSEWHERE, "db.example.org", "localhost"):
        reader, writer = await asyncio.open_connection(ELSEWHERE, served.address.port)
        try:
            writer.write((8).to_bytes(4, "big") + (80_877_103).to_bytes(4, "big"))  # SSLRequest
            assert await reader.readexactly(1) == b"S"
            context = ssl.create_default_context(cadata=served.address.ca_pem)
            await writer.start_tls(context, server_hostname=name)
            numbers.add(writer.get_extra_info("peercert")["serialNumber"])
        finally:
            writer.close()
            await writer.wait_closed()
    assert len(numbers) == 1
    return str(numbers.pop())
