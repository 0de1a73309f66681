"""A small program that becomes an engine: `launch.py PARENT SIGNAL UID GID GROUPS PROGRAM ARGUMENT…`.

It runs between fork and exec in an interpreter of its own, because what it does (change the user, ask for a signal when
the hub dies) is not safe to do in a fork of a program with threads. UID, GID and GROUPS are `-` to stay who we are.
Only the standard library, and little of it, is imported: it costs about 20 ms.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def launch(parent: int, signal: int, uid: str, gid: str, groups: str, command: list[str]) -> None:
    """Become the command."""
    os.umask(0o077)
    if uid != "-":
        os.setgroups([int(group) for group in groups.split(",")])
        os.setgid(int(gid))
        os.setuid(int(uid))
    if sys.platform == "linux":
        # After the change of user, which would clear it. Kept over exec.
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("the hub ended while its engine was started")
    try:
        os.execv(command[0], command)
    except OSError as error:
        sys.exit(f"{command[0]}: {error.strerror}")


if __name__ == "__main__":
    launch(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4], sys.argv[5], sys.argv[6:])
