"""Rows into a customer's database, each of them once: a row that is there is left as it is.

Source: docs/contract/dedicated-db.md §3, docs/decisions/0022-rows-into-a-database.md
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from matrixhub.databases.connecting import SAID_MAX, said_by
from matrixhub.databases.rows import COLUMNS, KEYS, KINDS, TABLES, Row
from matrixhub.model.errors import DatabaseFault, RowsRefused
from matrixhub.model.subscription import Source

FEW = 50
"""So many rows are always inserted; more are copied."""

TRIES_MAX = 64
"""So many parts of a push are tried to find the rows that PostgreSQL refuses; for more of them the push is cut."""

FIND_S = 5.0

_X = asyncpg.exceptions
ROW_FAULTS = (
    _X.DataError,
    _X.ProgramLimitExceededError,
    _X.UniqueViolationError,
    _X.CheckViolationError,
    _X.ExclusionViolationError,
    _X.ForeignKeyViolationError,
    _X.RaiseError,
    _X._base.DataError,
    UnicodeEncodeError,
)
"""What blames a row: PostgreSQL cannot have a value of it, or a rule of the customer's own refuses it."""


@dataclass(frozen=True, slots=True)
class Written:
    """What became of rows: so many are new, and those refused have a reason, by index; the others were there."""

    new: int
    refused: Mapping[int, str] = field(default_factory=dict)


async def write_rows(connection: Any, source: Source, rows: Sequence[Row]) -> int:
    """Write the rows with one statement; how many were not there. Faults of the driver come as they are."""
    if not rows:
        return 0
    done = await connection.execute(_INSERTS[source], *map(list, zip(*rows, strict=True)))
    return int(done.rpartition(" ")[2])


class RowWriter:
    """Writes to one database over one connection, and remembers how that went.

    Many rows are copied into the table, which is twice as fast but fails as a whole if one of them is there already, as
    after a crash or in a replay. From then on they are inserted, until a push is all new again.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._repeats: set[Source] = set()

    async def write(self, source: Source, rows: Sequence[Row], *, find_s: float = FIND_S) -> Written:
        """Write what PostgreSQL takes of the rows, in one transaction.

        Units:  find_s is how long those that it refuses are looked for.
        Raises: RowsRefused if there are so many that they are not found in time; other faults come as they are.
        """
        try:
            return Written(await self._write_all(source, rows))
        except ROW_FAULTS:
            await check_columns(self._connection, source)
            return await self._write_some(source, rows, find_s)

    async def rehearse(self, source: Source, rows: Sequence[Row]) -> Written:
        """What would become of the rows; nothing is written. Faults come as from `write`."""
        transaction = self._connection.transaction()
        await transaction.start()
        try:
            await check_columns(self._connection, source)
            return await self._write_some(source, rows, FIND_S)
        finally:
            if not self._connection.is_closed():
                await transaction.rollback()

    async def _write_all(self, source: Source, rows: Sequence[Row]) -> int:
        few = len(rows) <= FEW
        if few or source in self._repeats or not await has_key(self._connection, source):
            new = await write_rows(self._connection, source, rows)
            if new == len(rows) and not few:
                self._repeats.discard(source)
            return new
        try:
            await self._connection.copy_records_to_table(
                TABLES[source], schema_name="matrix", records=rows, columns=list(COLUMNS[source])
            )
        except (*ROW_FAULTS, asyncpg.FeatureNotSupportedError, TypeError, ValueError):
            # A row is there already; or the table has row-level security, which takes no COPY; or an insert will tell.
            self._repeats.add(source)
            return await write_rows(self._connection, source, rows)
        return len(rows)

    async def _write_some(self, source: Source, rows: Sequence[Row], find_s: float) -> Written:
        """Write by halves, to find the rows that are refused."""
        refused: dict[int, str] = {}
        new = tries = 0
        todo = [(0, len(rows))]
        until = time.monotonic() + find_s
        async with self._connection.transaction():
            while todo:
                if tries >= TRIES_MAX or (tries and time.monotonic() > until):
                    raise RowsRefused("PostgreSQL refuses rows, too many to find them all at once")
                tries += 1
                first, last = todo.pop()
                try:
                    async with self._connection.transaction():
                        new += await write_rows(self._connection, source, rows[first:last])
                except ROW_FAULTS as error:
                    if last - first == 1:
                        refused[first] = reason_of(error)
                    else:
                        middle = (first + last) // 2
                        todo += [(middle, last), (first, middle)]
        return Written(new, refused)


def reason_of(error: BaseException) -> str:
    """Why a row is refused, for those who read what was set aside."""
    if isinstance(error, UnicodeEncodeError):
        return "PostgreSQL cannot have it: a text holds half of a character"
    detail = getattr(error, "detail", None)
    return f"PostgreSQL refuses it: {said_by(error)}{f' ({detail[:SAID_MAX]})' if detail else ''}"


async def check_columns(connection: Any, source: Source) -> None:
    """Raises: DatabaseFault if a column is of another kind than it should be, for which no row is to blame."""
    table = TABLES[source]
    rows = await connection.fetch(
        "select a.attname, t.typcategory::text, format_type(a.atttypid, a.atttypmod) as type"
        " from pg_attribute a join pg_type t on t.oid = a.atttypid"
        " where a.attrelid = to_regclass($1) and a.attnum > 0 and not a.attisdropped",
        f"matrix.{table}",
    )
    for row in rows:
        if KINDS.get(row["attname"], row["typcategory"]) != row["typcategory"]:
            raise DatabaseFault(
                f'column "{row["attname"]}" of matrix.{table} is {row["type"]}, which its values are not', step="schema"
            )


async def has_key(connection: Any, source: Source) -> bool:
    """Whether the table tells a row that is there already; without its key a copy would write it twice."""
    found: bool = await connection.fetchval(_HAS_KEY, f"matrix.{TABLES[source]}", sorted(KEYS[source]))
    return found


_HAS_KEY = """
select exists (
  select from pg_index i
  where i.indrelid = to_regclass($1) and i.indisunique and i.indisvalid and i.indimmediate and i.indpred is null
    and $2 = (
      select array_agg(a.attname::text order by a.attname)
      from unnest(i.indkey::smallint[]) with ordinality k (attnum, place)
      join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
      where k.place <= i.indnkeyatts))
"""


def insert_statement(source: Source) -> str:
    """What inserts rows whose columns come as arrays. A row that is there already is left as it is; any other clash,
    such as with an index of the customer's own, is not passed over in silence.
    """
    names = ", ".join(COLUMNS[source])
    arrays = ", ".join(f"${number}::{_TYPES[KINDS[name]]}[]" for number, name in enumerate(COLUMNS[source], start=1))
    values = ", ".join(f"{name}::jsonb" if KINDS[name] == "U" else name for name in COLUMNS[source])
    return (
        f"insert into matrix.{TABLES[source]} ({names}) select {values} from unnest({arrays}) as given ({names})"
        f" on conflict ({', '.join(KEYS[source])}) do nothing"
    )


_TYPES: Mapping[str, str] = {"S": "text", "N": "bigint", "U": "text", "D": "timestamptz"}
_INSERTS: Mapping[Source, str] = {source: insert_statement(source) for source in TABLES}
