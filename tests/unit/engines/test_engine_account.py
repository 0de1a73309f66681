"""Who the engines run as, and what that user can reach."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from matrixhub.engines.account import Account, check_enterable, engine_account, first_closed
from matrixhub.model.errors import ConfigurationError, EngineError

STRANGER = Account(name="stranger", uid=54_321, gid=54_321, groups=(54_321,))
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root starts engines as another user")


@pytest.fixture
def open_path(tmp_path: Path) -> Path:
    """A directory that everyone may enter, but for what pytest closes above it."""
    path = tmp_path / "open"
    path.mkdir(mode=0o755)
    return path


def test_without_an_account_nothing_is_closed(open_path: Path) -> None:
    open_path.chmod(0o700)
    assert first_closed(open_path, None) is None
    check_enterable(open_path, None)


def test_the_outermost_closed_directory_is_named(open_path: Path) -> None:
    closed = first_closed(open_path, STRANGER)
    assert closed is not None
    assert closed in open_path.parents
    with pytest.raises(EngineError) as refused:
        check_enterable(open_path, STRANGER)
    assert f"chmod o+x {closed}" in refused.value.message
    assert "--data" in refused.value.message


def test_the_rights_of_the_owner_come_before_those_of_others(tmp_path: Path) -> None:
    me = Account(name="me", uid=os.geteuid(), gid=54_321, groups=())
    path = tmp_path / "mine"
    path.mkdir(mode=0o700)
    assert first_closed(path, me) is None
    path.chmod(0o077)
    assert first_closed(path, me) == path
    path.chmod(0o700)


def test_a_program_must_be_readable_and_a_file_need_not_be_runnable(tmp_path: Path) -> None:
    me = Account(name="me", uid=os.geteuid(), gid=54_321, groups=())
    program, text = tmp_path / "program", tmp_path / "text"
    program.touch(0o100)
    text.touch(0o400)
    assert first_closed(program, me) == program
    assert first_closed(text, me) is None


@pytest.mark.skipif(os.geteuid() == 0, reason="root must choose another user")
def test_who_is_not_root_stays_who_they_are() -> None:
    assert engine_account("nobody") is None


@root_only
def test_root_runs_the_engines_as_another_user() -> None:
    account = engine_account("")
    assert account is not None
    assert account.uid != 0


@root_only
def test_a_user_that_does_not_exist_or_is_root_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no user nonesuch"):
        engine_account("nonesuch")
    with pytest.raises(ConfigurationError, match="is root"):
        engine_account("root")
