"""Migrations on a real PostgreSQL: safe to repeat and to run in several processes at once."""

from __future__ import annotations

import asyncio
import re
from importlib.resources import files

import asyncpg
import pytest
import pytest_asyncio
from tests.engines import SharedEngines

from matrixhub.observe import Fact, MigrationsApplied, ignore
from matrixhub.store import open_database
from matrixhub.store.pool import migrate, migration_files
from matrixhub.store.sql import load_statements

pytestmark = pytest.mark.asyncio(loop_scope="module")

SCHEMA = """
select table_name, column_name, data_type, is_nullable, column_default from information_schema.columns
where table_schema = 'public' order by 1, 2
"""


@pytest_asyncio.fixture(loop_scope="module")
async def fresh(shared_engines: SharedEngines) -> str:
    """The address of a new, empty database."""
    return (await shared_engines.new_database(migrated=False)).socket


async def test_migrations_are_applied_once_and_repeating_them_changes_nothing(fresh: str) -> None:
    facts: list[Fact] = []
    names = [name for name, _ in migration_files()]
    async with open_database(fresh, connections_max=2) as database:
        assert await migrate(database, facts.append) == names
        async with database.connection() as connection:
            before = await connection.fetch(SCHEMA)
        assert await migrate(database, facts.append) == []
        async with database.connection() as connection:
            assert await connection.fetch(SCHEMA) == before
            assert len(before) > 40
    assert facts == [MigrationsApplied(names=", ".join(names))]


async def test_several_that_migrate_at_once_apply_each_migration_once(fresh: str) -> None:
    async def one() -> list[str]:
        async with open_database(fresh, connections_max=1) as database:
            return await migrate(database, ignore)

    applied = await asyncio.gather(*(one() for _ in range(5)))
    assert sorted(len(names) for names in applied) == [0, 0, 0, 0, len(migration_files())]


async def test_a_migration_that_was_cut_off_leaves_nothing_behind(fresh: str, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = [*migration_files(), ("9999_pre_broken.sql", "create table half (a int); select nonsense;")]
    async with open_database(fresh, connections_max=2) as database:
        with monkeypatch.context() as patched:
            patched.setattr("matrixhub.store.pool.migration_files", lambda: broken)
            with pytest.raises(asyncpg.UndefinedColumnError):
                await migrate(database, ignore)
        async with database.connection() as connection:
            assert await connection.fetch(SCHEMA) == []
        assert await migrate(database, ignore) == [name for name, _ in migration_files()]


async def test_places_of_before_get_names_of_their_own(fresh: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = [(name, text) for name, text in migration_files() if name < "0011"]
    async with open_database(fresh, connections_max=2) as database:
        with monkeypatch.context() as patched:
            patched.setattr("matrixhub.store.pool.migration_files", lambda: before)
            await migrate(database, ignore)
        async with database.connection() as connection:
            await connection.execute(
                """
                insert into organisations values ('o', 'O');
                insert into properties values ('p', 'o', 'P');
                insert into buildings values ('b1', 'p', 'Tower', 'UTC'), ('b2', 'p', 'Tower', 'UTC');
                insert into levels values ('l1', 'b1', 'L1'), ('l2', 'b1', 'L1'), ('l3', 'b2', 'L1');
                insert into zones values ('z1', 'b1', 'l1', 'Lobby'), ('z2', 'b1', 'l1', 'Lobby'),
                  ('z3', 'b1', 'l2', 'Lobby');
                """
            )
        await migrate(database, ignore)
        async with database.connection() as connection:
            found = await connection.fetch(
                "select id, name from buildings union select id, name from levels union select id, name from zones"
            )
            words = await connection.fetch("select id, level from levels")
    assert {row["id"]: row["name"] for row in found if "(" in row["name"]} == {
        "b2": "Tower (b2)",
        "l2": "L1 (l2)",
        "z2": "Lobby (z2)",
    }
    assert {row["id"]: row["level"] for row in words} == {"l1": "L1", "l2": "L1", "l3": "L1"}


async def test_a_device_that_was_in_two_slots_stays_in_the_first_and_begins_its_history(
    fresh: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    early = [(name, text) for name, text in migration_files() if name < "0009"]
    async with open_database(fresh, connections_max=2) as database:
        with monkeypatch.context() as patched:
            patched.setattr("matrixhub.store.pool.migration_files", lambda: early)
            await migrate(database, ignore)
        async with database.connection() as connection:
            await connection.execute(
                """
                insert into organisations values ('o', 'O');
                insert into properties (id, organisation_id, name) values ('p', 'o', 'P');
                insert into buildings (id, property_id, name, time_zone) values ('b', 'p', 'B', 'UTC');
                insert into levels (id, building_id, name) values ('l', 'b', 'L1');
                insert into zones (id, building_id, level_id, name) values ('z', 'b', 'l', 'Z');
                insert into slots (id, property_id, building_id, zone_id, devtype, name, hardware_id, ordinal)
                values ('s3', 'p', 'b', 'z', 'T', 'N', 'A1', 3), ('s2', 'p', 'b', 'z', 'T', 'N', 'A1', 2),
                  ('s1', 'p', 'b', 'z', 'T', 'N', '', 1), ('s0', 'p', 'b', 'z', 'T', 'N', '', 0)
                """
            )
        await migrate(database, ignore)
        async with database.connection() as connection:
            slots = await connection.fetch("select id, hardware_id, commissioning from slots order by id")
            history = await connection.fetch("select slot_id, hardware_id, ended_at from associations")
    assert [tuple(row) for row in slots] == [(f"s{n}", "A1" if n == 2 else "", "new") for n in range(4)]
    assert [tuple(row) for row in history] == [("s2", "A1", None)]


async def test_every_statement_is_valid_in_the_schema(fresh: str) -> None:
    async with open_database(fresh, connections_max=2) as database:
        await migrate(database, ignore)
        async with database.connection() as connection:
            await connection.execute(load_statements("readings.sql")["stage"])  # a table of a connection's own
            for file in sorted(
                entry.name for entry in files("matrixhub.store").iterdir() if entry.name.endswith(".sql")
            ):
                for name, statement in load_statements(file).items():
                    assert await connection.prepare(statement), name


async def test_migrations_are_numbered_in_order_and_say_when_they_may_run() -> None:
    names = [name for name, _ in migration_files()]
    assert names == sorted(names)
    assert all(re.fullmatch(r"\d{4}_(pre|post)_\w+\.sql", name) for name in names)
    assert len({name[:4] for name in names}) == len(names)
