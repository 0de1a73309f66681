"""Rows into a customer's own PostgreSQL 15, over TLS, in a schema that the hub has made there."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from tests.customer_server import CustomerServer
from tests.integration.databases.test_checking import desk, record_of

from matrixhub.databases.rows import Row, event_row, reading_row
from matrixhub.databases.writing import RowWriter
from matrixhub.deliveries.desk import sample_event, sample_line
from matrixhub.deliveries.destinations.reaching import Reaching
from matrixhub.model.egress import Allowance
from matrixhub.model.ids import PropertyId

pytestmark = pytest.mark.asyncio(loop_scope="session")

FIRST_MS = int(datetime(2024, 3, 10, tzinfo=UTC).timestamp() * 1000)
PUBLISHED = """
select insid as Zone, sum(cast(v->>'count' as integer)) TotalPeople
from matrix.sensor_data
where pid = 'b' and month = '03' and dom = '10'
  and devtype = 'SMARTCLEAN#PPLCTR'
  and time >= '2024-03-10T00:00:00+0000' and time <= '2024-03-10T00:59:59+0000'
group by insid;
"""


def counted(number: int) -> Row:
    """A reading of a people counter, one a second."""
    line = json.loads(sample_line(PropertyId("prop"), FIRST_MS + number * 1_000))
    changed = {"DEVID": "door", "DevType": "SMARTCLEAN#PPLCTR", "PID": "b", "InsID": "z", "v": {"count": 2.0}}
    return reading_row(json.dumps(line | changed))


async def test_readings_and_events_are_written_once_and_the_published_query_counts_them(
    customer_server: CustomerServer,
) -> None:
    record = record_of(await customer_server.new_database())
    assert (await desk().apply(record)).checked.ready
    rows = [counted(number) for number in range(300)]
    async with Reaching("", Allowance()).connected(record) as connection:
        writer = RowWriter(connection)
        for part in (rows[:200], rows[100:], rows):
            assert not (await writer.write("sensors", part)).refused
        events = [event_row(sample_event(PropertyId("prop"), FIRST_MS + n * 1_000)) for n in range(5)]
        assert [(await writer.write("events", events)).new for _ in range(2)] == [5, 0]
        found = await connection.fetch(PUBLISHED)
    assert [tuple(row.items()) for row in found] == [(("zone", "z"), ("totalpeople", 600))]
