"""Who the engines run as: PostgreSQL refuses to run as root, so a hub started by root runs both as someone else."""

from __future__ import annotations

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

from matrixhub.model.errors import ConfigurationError, EngineError

USUAL_ACCOUNTS = ("matrixhub", "postgres", "nobody")


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """An unprivileged user of this machine."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]


def engine_account(run_as: str) -> Account | None:
    """The user to run the engines as, or None to stay who we are.

    Shape:  run_as is a user's name; empty chooses one of the usual ones. Who is not root cannot choose.
    Raises: ConfigurationError if that user does not exist or is root.
    """
    if os.geteuid() != 0:
        return None
    for name in (run_as,) if run_as else USUAL_ACCOUNTS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid == 0:
            raise ConfigurationError(f"engines.postgres.run_as: PostgreSQL does not run as root, and {name} is root")
        groups = tuple(os.getgrouplist(name, entry.pw_gid))
        return Account(name=name, uid=entry.pw_uid, gid=entry.pw_gid, groups=groups)
    if run_as:
        raise ConfigurationError(f"engines.postgres.run_as: there is no user {run_as}")
    raise ConfigurationError(
        "PostgreSQL does not run as root and there is none of the users "
        + ", ".join(USUAL_ACCOUNTS)
        + "; make one (useradd --system matrixhub) or name one in engines.postgres.run_as"
    )


def check_enterable(directory: Path, account: Account | None) -> None:
    """Make sure that the account can get at the data directory.

    Raises: EngineError saying which directory is closed to it and what to do.
    """
    closed = first_closed(directory, account)
    if account is None or closed is None:
        return
    mode = stat.S_IMODE(closed.stat().st_mode)
    raise EngineError(
        f"The hub was started by root; PostgreSQL does not run as root, so the engines run as user {account.name}, who "
        f"may not enter {closed} (mode {mode:04o}), and the data directory {directory} lies in it. "
        f"Choose a data directory elsewhere (--data DIR), or open this one: chmod o+x {closed}"
    )


def first_closed(path: Path, account: Account | None) -> Path | None:
    """The outermost directory on the way to the path, or the path itself, that the account may not enter or read.

    Without an account nothing is closed. Access control lists are not looked at, only modes.
    """
    if account is None:
        return None
    path = path.resolve()
    for directory in reversed(path.parents):
        if not directory.exists():
            return None  # it will be made, open enough
        if not _allows(directory.stat(), account, 0o1):
            return directory
    if not path.exists():
        return None
    state = path.stat()
    needed = 0o1 if stat.S_ISDIR(state.st_mode) else 0o5 if state.st_mode & 0o111 else 0o4
    return None if _allows(state, account, needed) else path


def _allows(state: os.stat_result, account: Account, needed: int) -> bool:
    if state.st_uid == account.uid:
        granted = state.st_mode >> 6
    elif state.st_gid == account.gid or state.st_gid in account.groups:
        granted = state.st_mode >> 3
    else:
        granted = state.st_mode
    return granted & needed == needed
