"""Files that are either the old ones or the new ones, never half of each."""

from __future__ import annotations

import os
from pathlib import Path

from matrixhub.engines.account import Account


def write_atomically(path: Path, data: str, *, account: Account | None = None) -> None:
    """Replace the file, readable only by its owner, on disk when this returns.

    The name of the temporary file is fixed, so that a crash leaves at most one; it is made exclusively, so that
    nothing planted in its place is written through.
    """
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(file, "w", encoding="utf-8") as stream:
        if account is not None:
            os.fchown(stream.fileno(), account.uid, account.gid)
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def make_directory(path: Path, mode: int, account: Account | None = None) -> None:
    """Make the directory if it is not there, and give it and what is in it to the account."""
    path.mkdir(mode=mode, exist_ok=True)
    if account is not None:
        give(path, account)


def give(path: Path, account: Account) -> None:
    """Make the account the owner of a tree. A tree whose top it owns already is taken to be its own."""
    if path.stat().st_uid == account.uid:
        return
    for folder, _, names in os.walk(path, topdown=False):
        for name in names:
            os.lchown(os.path.join(folder, name), account.uid, account.gid)
        os.lchown(folder, account.uid, account.gid)
