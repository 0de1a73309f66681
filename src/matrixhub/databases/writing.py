"""Rows into a customer's database, each of them once: a row that is there is left as it is.

Source: docs/contract/dedicated-db.md §3
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matrixhub.databases.rows import COLUMNS, TABLES, Row
from matrixhub.model.subscription import Source

FEW = 50
"""So many rows are inserted one by one in one statement each; more are copied into a table of their own first."""


async def write_rows(connection: Any, source: Source, rows: Sequence[Row]) -> int:
    """Write the rows in one transaction; how many were not there. Faults of the driver come as they are."""
    if not rows:
        return 0
    async with connection.transaction():
        if len(rows) <= FEW:
            return await _insert(connection, source, rows)
        return await _copy(connection, source, rows)


async def _insert(connection: Any, source: Source, rows: Sequence[Row]) -> int:
    columns, table = COLUMNS[source], TABLES[source]
    width = len(columns)
    places = ", ".join(
        f"({', '.join(f'${at * width + column + 1}' for column in range(width))})" for at in range(len(rows))
    )
    done = await connection.execute(
        f"insert into matrix.{table} ({', '.join(columns)}) values {places} on conflict do nothing",
        *(value for row in rows for value in row),
    )
    return _count(done)


async def _copy(connection: Any, source: Source, rows: Sequence[Row]) -> int:
    columns, table = COLUMNS[source], TABLES[source]
    names = ", ".join(columns)
    await connection.execute(
        f"create temporary table staged_{table} on commit drop as select {names} from matrix.{table} limit 0"
    )
    await connection.copy_records_to_table(f"staged_{table}", records=rows, columns=list(columns))
    done = await connection.execute(
        f"insert into matrix.{table} ({names}) select {names} from staged_{table} on conflict do nothing"
    )
    return _count(done)


def _count(done: str) -> int:
    return int(done.rpartition(" ")[2])
