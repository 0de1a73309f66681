"""Files that commands write."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from matrixhub.cli.files import whole_file
from matrixhub.model.errors import InvalidValue


def interrupted(path: Path, error: type[BaseException]) -> None:
    with whole_file(str(path), "--out") as file:
        file.write(b"half")
        raise error


@pytest.mark.parametrize("error", [KeyboardInterrupt, asyncio.CancelledError, ValueError])
def test_what_interrupts_leaves_no_file(tmp_path: Path, error: type[BaseException]) -> None:
    with pytest.raises(error):
        interrupted(tmp_path / "a", error)
    assert list(tmp_path.iterdir()) == []


def test_a_file_keeps_the_rights_of_the_one_it_replaces(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"before")
    path.chmod(0o640)
    with whole_file(str(path), "--out") as file:
        file.write(b"after")
        assert path.read_bytes() == b"before"
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"after", 0o640)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(InvalidValue, match="--out"), whole_file(str(tmp_path / "a"), "--out") as file:
        file.write(b"x")
    assert [one.name for one in tmp_path.iterdir()] == ["a"]
