"""The customer's server that tests are made with is what it says."""

from __future__ import annotations

import pytest
from tests.customer_server import CustomerServer

from matrixhub.databases.connecting import connected
from matrixhub.model.errors import DatabaseFault

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_the_customers_server_is_postgresql_15_and_takes_tls_only(customer_server: CustomerServer) -> None:
    server = await customer_server.new_database()
    async with connected(server, [customer_server.address]) as connection:
        assert connection.get_server_version().major == 15
        assert await connection.fetchval("select ssl from pg_stat_ssl where pid = pg_backend_pid()")
    with pytest.raises(DatabaseFault):
        async with connected(customer_server.server(tls="disable", ca_pem=""), [customer_server.address]):
            raise AssertionError("it took a connection in clear")
