"""The data directory: one owner, secrets that stay, and what other processes may know."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from matrixhub.engines import DataDirectory, read_running, read_secrets
from matrixhub.model.errors import DataDirectoryBusy, EngineError, HubNotRunning


def test_secrets_are_made_once_and_are_for_their_owner_only(tmp_path: Path) -> None:
    with DataDirectory.open(tmp_path / "data") as directory:
        made = directory.secrets
    with DataDirectory.open(tmp_path / "data") as directory:
        assert directory.secrets == made
    assert (tmp_path / "data" / "secrets.json").stat().st_mode & 0o7777 == 0o600
    assert len(bytes.fromhex(made.master_key)) == 32
    assert made.local_key.startswith("mhk_")
    assert len({made.postgres_password, made.nats_token, made.master_key, made.local_key}) == 4


def test_secrets_do_not_show_when_printed(tmp_path: Path) -> None:
    with DataDirectory.open(tmp_path) as directory:
        assert directory.secrets.nats_token not in repr(directory.secrets)


def test_secrets_can_be_read_while_a_hub_owns_the_directory(tmp_path: Path) -> None:
    with DataDirectory.open(tmp_path) as directory:
        assert read_secrets(tmp_path) == directory.secrets


def test_damaged_secrets_are_an_error_and_are_not_replaced(tmp_path: Path) -> None:
    DataDirectory.open(tmp_path).close()
    for damaged in ("", "[]", '{"master_key": "00"}'):
        (tmp_path / "secrets.json").write_text(damaged)
        with pytest.raises(EngineError, match="damaged"):
            DataDirectory.open(tmp_path)
        assert (tmp_path / "secrets.json").read_text() == damaged


def test_a_second_owner_is_refused_and_told_who_the_first_is(tmp_path: Path) -> None:
    with DataDirectory.open(tmp_path), pytest.raises(DataDirectoryBusy) as refused:
        DataDirectory.open(tmp_path)
    assert str(os.getpid()) in refused.value.message
    assert str(tmp_path) in refused.value.message
    DataDirectory.open(tmp_path).close()


def test_an_owner_that_was_killed_no_longer_owns(tmp_path: Path) -> None:
    program = (
        "import os, pathlib, sys\n"
        "from matrixhub.engines import DataDirectory\n"
        "DataDirectory.open(pathlib.Path(sys.argv[1])).write_running({'url': 'http://old'})\n"
        "os.kill(os.getpid(), 9)\n"
    )
    assert subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False).returncode == -9
    with pytest.raises(HubNotRunning):
        read_running(tmp_path)
    with DataDirectory.open(tmp_path), pytest.raises(HubNotRunning, match="still starting"):
        read_running(tmp_path)


def test_what_a_running_hub_wrote_is_read_until_it_closes(tmp_path: Path) -> None:
    with DataDirectory.open(tmp_path) as directory:
        directory.write_running({"url": "http://127.0.0.1:8080", "pid": 1})
        assert read_running(tmp_path) == {"url": "http://127.0.0.1:8080", "pid": 1}
        with pytest.raises(DataDirectoryBusy):  # looking did not end the lock
            DataDirectory.open(tmp_path)
    with pytest.raises(HubNotRunning, match="No hub is running"):
        read_running(tmp_path)


def test_a_directory_that_no_hub_has_used_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(HubNotRunning, match="matrixhub up"):
        read_running(tmp_path / "none")
    with pytest.raises(HubNotRunning, match="matrixhub up"):
        read_secrets(tmp_path / "none")


def test_a_path_that_cannot_be_a_directory_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EngineError, match="--data"):
        DataDirectory.open(tmp_path / "file" / "data")


def test_ports_are_remembered(tmp_path: Path) -> None:
    with DataDirectory.open(tmp_path) as directory:
        assert directory.ports == {}
        directory.remember_ports({"postgres": 15_001, "nats": 15_002})
    with DataDirectory.open(tmp_path) as directory:
        assert directory.ports == {"postgres": 15_001, "nats": 15_002}
