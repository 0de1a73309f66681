"""The way to a customer's database, on a real PostgreSQL: who is reached, what is judged, and what a fault tells."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace

import asyncpg
import pytest
import pytest_asyncio
from aiohttp.abc import AbstractResolver, ResolveResult
from tests.databases import PASSWORD, Theirs, customer_database
from tests.engines import SharedEngines

from matrixhub.deliveries.destinations.reaching import Reaching
from matrixhub.model.database import CustomerDatabase
from matrixhub.model.egress import Allowance
from matrixhub.model.errors import DatabaseFault, EgressRefused
from matrixhub.model.secret import Secret

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Names(AbstractResolver):
    """A resolver that knows a few names, and has been asked."""

    def __init__(self, names: Mapping[str, list[str]]) -> None:
        self.names = names
        self.asked: list[str] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked.append(host)
        if host not in self.names:
            raise OSError(f"{host} is not known")
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)
            for address in self.names[host]
        ]

    async def close(self) -> None:
        pass


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def theirs(shared_engines: SharedEngines) -> AsyncIterator[Theirs]:
    async with customer_database(shared_engines) as found:
        yield found


def reaching(engines: SharedEngines, names: AbstractResolver | None = None) -> Reaching:
    return Reaching(engines.postgres.socket, Allowance(), names)


async def test_a_database_of_the_hub_is_reached_on_its_own_server_past_no_guard(shared_engines: SharedEngines) -> None:
    async with customer_database(shared_engines, hosting="hub") as ours:
        record = replace(ours.record, egress_allow=frozenset())
        async with reaching(shared_engines).connected(record) as connection:
            found = await connection.fetchrow("select current_user, current_database(), current_setting('timezone')")
            assert tuple(found) == (record.server.user, record.server.database, "UTC")


async def test_a_database_of_the_customers_is_reached_where_its_property_may_go(
    theirs: Theirs, shared_engines: SharedEngines
) -> None:
    async with reaching(shared_engines).connected(theirs.record) as connection:
        assert await connection.fetchval("select count(*) from matrix.sensor_data") == 0
    with pytest.raises(EgressRefused) as refused:
        await reaching(shared_engines).connect(replace(theirs.record, egress_allow=frozenset()))
    assert "matrixhub egress allow --property prop 127.0.0.1" in refused.value.message


async def test_every_address_of_a_name_is_judged_and_only_those_are_dialled(
    theirs: Theirs, shared_engines: SharedEngines
) -> None:
    names = Names({"db.test": ["127.0.0.1"], "mixed.test": ["127.0.0.1", "169.254.169.254"]})
    way = reaching(shared_engines, names)
    async with way.connected(theirs.at(host="db.test")) as connection:
        assert await connection.fetchval("select 1") == 1
    async with way.connected(theirs.at(host="db.test")):
        assert names.asked == ["db.test", "db.test"], "a name is judged anew for each connection"
    with pytest.raises(EgressRefused, match=r"169\.254\.169\.254"):
        await way.connect(theirs.at(host="mixed.test"))
    with pytest.raises(EgressRefused, match="unusual spelling"):
        await way.connect(theirs.at(host="127.1"))


@pytest.mark.parametrize(
    ("change", "step", "words"),
    [
        (lambda t: t.at(host="nowhere.test"), "reach", "leads nowhere"),
        (lambda t: t.at(password=Secret("wrong-one")), "login", "no login at"),
        (lambda t: t.at(user="nobody"), "login", "no login at"),
        (lambda t: t.at(database="not_there"), "login", "no such database"),
        (lambda t: t.at(tls="require"), "tls", "no TLS with"),
    ],
)
async def test_what_is_not_right_is_named_with_its_step(
    change: Callable[[Theirs], CustomerDatabase], step: str, words: str, theirs: Theirs, shared_engines: SharedEngines
) -> None:
    with pytest.raises(DatabaseFault) as fault:
        await reaching(shared_engines, Names({})).connect(change(theirs))
    assert (fault.value.step, fault.value.code) == (step, "MH-D010")
    assert words in fault.value.message
    assert "wrong-one" not in fault.value.message
    assert PASSWORD not in fault.value.message


async def test_a_server_that_does_not_listen_or_does_not_answer_is_out_of_reach(
    theirs: Theirs, shared_engines: SharedEngines
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        with pytest.raises(DatabaseFault, match="no answer in time") as fault:
            await reaching(shared_engines).connect(theirs.at(port=silent.getsockname()[1]), connect_s=0.1)
        assert fault.value.step == "reach"
        gone = silent.getsockname()[1]
    with pytest.raises(DatabaseFault, match="no connection") as fault:
        await reaching(shared_engines).connect(theirs.at(port=gone))
    assert fault.value.step == "reach"


async def test_what_fails_within_the_block_is_told_as_well_and_the_connection_is_closed(
    theirs: Theirs, shared_engines: SharedEngines
) -> None:
    with pytest.raises(DatabaseFault) as fault:
        async with reaching(shared_engines).connected(theirs.record) as connection:
            await connection.execute("delete from matrix.sensor_data")
    assert fault.value.step == "rights"
    assert isinstance(fault.value.__cause__, asyncpg.InsufficientPrivilegeError)
    assert connection.is_closed()
