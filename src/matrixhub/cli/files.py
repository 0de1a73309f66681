"""Files that commands write: they are there whole, or as they were before."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from matrixhub.model.errors import InvalidValue

STANDARD_OUTPUT = "-"


@contextlib.contextmanager
def whole_file(name: str, option: str) -> Iterator[BinaryIO]:
    """A file to write, which gets its name when the block ends; one of that name is replaced then, and not before.

    If the block fails or is interrupted, nothing is left of it. `-` is standard output, of which nothing can be taken
    back. Raises: InvalidValue if it cannot be written.
    """
    if name == STANDARD_OUTPUT:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    path = Path(name)
    try:
        number, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    except OSError as error:
        raise InvalidValue(f"{option}: {path}: {error.strerror}") from error
    try:
        with os.fdopen(number, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(_mode(path))
        Path(temporary).replace(path)
    except OSError as error:
        raise InvalidValue(f"{option}: {path}: {error.strerror or error}") from error
    finally:
        Path(temporary).unlink(missing_ok=True)


def _mode(path: Path) -> int:
    """The rights of the file that is replaced, else those that a new one gets."""
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
