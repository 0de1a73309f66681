"""The data directory: owned by one hub at a time, the home of its secrets and of what it remembers."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from matrixhub.engines.files import write_atomically
from matrixhub.model.errors import DataDirectoryBusy, EngineError, HubNotRunning

LOCK_TRIES = 10
LOCK_WAIT_S = 0.005


@dataclass(frozen=True, kw_only=True, slots=True)
class HubSecrets:
    """What only this hub knows; made once for a data directory."""

    postgres_password: str = field(repr=False)
    nats_token: str = field(repr=False)
    master_key: str = field(repr=False)
    local_key: str = field(repr=False)


class DataDirectory:
    """A data directory that this process owns until `close`."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock = lock
        self._running.unlink(missing_ok=True)  # a killed hub leaves it behind
        self.secrets = _load_secrets(path) if _secrets_path(path).exists() else _make_secrets(path)

    @classmethod
    def open(cls, path: Path) -> DataDirectory:
        """Make the directory if need be and own it.

        Raises: DataDirectoryBusy if another hub owns it, EngineError if it cannot be used.
        """
        path = path.absolute()
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if os.geteuid() == 0:
                # The engines run as another user, who must be able to pass through to their folders.
                path.chmod(path.stat().st_mode & 0o7777 | 0o011)
            lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise EngineError(
                f"The data directory {path} cannot be used: {error.strerror}. Choose another one (--data DIR)"
            ) from error
        try:
            _lock(lock, path)
            return cls(path, lock)
        except BaseException:
            os.close(lock)
            raise

    def __enter__(self) -> DataDirectory:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the directory back. Nothing may use it after that."""
        self._running.unlink(missing_ok=True)
        os.close(self._lock)  # which ends the lock

    @property
    def ports(self) -> dict[str, int]:
        """The TCP port each engine had last."""
        try:
            return {str(name): int(port) for name, port in _read_json(self._ports).items()}
        except FileNotFoundError:
            return {}

    def remember_ports(self, ports: Mapping[str, int]) -> None:
        """Keep these ports for the next start."""
        if dict(ports) != self.ports:
            write_atomically(self._ports, json.dumps(dict(ports)))

    def write_running(self, facts: Mapping[str, object]) -> None:
        """Tell other processes how to reach this hub, until it closes the directory."""
        write_atomically(self._running, json.dumps(dict(facts)))

    @property
    def _ports(self) -> Path:
        return self.path / "ports.json"

    @property
    def _running(self) -> Path:
        return _running_path(self.path)


def read_secrets(path: Path) -> HubSecrets:
    """The secrets of a data directory, which another process may own.

    Raises: HubNotRunning if the directory has none, EngineError if they cannot be read.
    """
    try:
        return _load_secrets(path)
    except FileNotFoundError as error:
        raise HubNotRunning(f"No hub has ever run on {path}. Start one: matrixhub up --data {path}") from error


def read_running(path: Path) -> dict[str, Any]:
    """What the hub that runs on this data directory wrote about itself.

    Raises: HubNotRunning if there is none, or if it has not got so far yet; EngineError if it cannot be read.
    """
    advice = f"Start one: matrixhub up --data {path}"
    try:
        if not _is_locked(path):
            raise HubNotRunning(f"No hub is running on {path}. {advice}")
        return _read_json(_running_path(path))
    except FileNotFoundError as error:
        if (path / "lock").exists():
            raise HubNotRunning(f"The hub on {path} is still starting; try again in a moment") from error
        raise HubNotRunning(f"No hub has ever run on {path}. {advice}") from error


def _secrets_path(path: Path) -> Path:
    return path / "secrets.json"


def _running_path(path: Path) -> Path:
    return path / "running.json"


def _lock(lock: int, path: Path) -> None:
    """Take the lock and write our process id into it, for whoever finds it taken."""
    for tries_left in reversed(range(LOCK_TRIES)):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError as error:
            if tries_left == 0:
                holder = os.pread(lock, 20, 0).decode(errors="replace").strip() or "unknown"
                raise DataDirectoryBusy(
                    f"Another hub (process {holder}) is running on {path}. "
                    "Stop it first, or choose another data directory (--data DIR)"
                ) from error
            # A command that looks whether a hub is running holds the lock for some microseconds.
            time.sleep(LOCK_WAIT_S)
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)


def _is_locked(path: Path) -> bool:
    """Whether a hub owns the directory. Raises FileNotFoundError, EngineError."""
    try:
        lock = os.open(path / "lock", os.O_RDONLY)
    except PermissionError as error:
        raise _not_allowed(path / "lock") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def _make_secrets(path: Path) -> HubSecrets:
    made = HubSecrets(
        postgres_password=secrets.token_hex(24),
        nats_token=secrets.token_hex(24),
        master_key=secrets.token_hex(32),
        local_key="mhk_" + secrets.token_hex(24),
    )
    write_atomically(_secrets_path(path), json.dumps(asdict(made), indent=2) + "\n")
    return made


def _load_secrets(path: Path) -> HubSecrets:
    """Raises FileNotFoundError, EngineError."""
    file = _secrets_path(path)
    tree = _read_json(file)
    with contextlib.suppress(TypeError):
        kept = HubSecrets(**tree)
        if all(isinstance(value, str) and value for value in asdict(kept).values()):
            return kept
    raise EngineError(f"{file} is damaged: it does not hold the secrets of this hub. Restore it from a backup")


def _read_json(file: Path) -> dict[str, Any]:
    """Raises FileNotFoundError, EngineError."""
    try:
        tree = json.loads(file.read_text(encoding="utf-8"))
    except PermissionError as error:
        raise _not_allowed(file) from error
    except ValueError as error:
        raise EngineError(f"{file} is damaged: not JSON. Restore it from a backup") from error
    if not isinstance(tree, dict):
        raise EngineError(f"{file} is damaged: not a JSON object. Restore it from a backup")
    return tree


def _not_allowed(file: Path) -> EngineError:
    return EngineError(f"{file} may only be read by the user the hub was started by. Run this command as that user")
