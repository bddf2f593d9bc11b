"""Starts one of PostgreSQL's programs: becomes its user, ties its life to ours, and turns into it.

A script of its own, run by a fresh interpreter, and not code that runs in a forked child: gRPC's threads do not survive
a fork, and what is left of them writes into the child's output or brings it down (grpc/grpc#29044).

    launcher.py USER_ID GROUP_ID PARENT PROGRAM ARGUMENT...

A USER_ID of -1 changes nothing. If the program cannot be started, prints the error's number and text and exits with
LAUNCH_FAILED.
"""

import ctypes
import os
import signal
import sys

LAUNCH_FAILED = 125
_PR_SET_PDEATHSIG = 1


def main(user_id: int, group_id: int, parent: int, command: list[str]) -> None:
    """Becomes the program."""
    if user_id >= 0:
        os.setgroups([])
        os.setgid(group_id)
        os.setuid(user_id)
    if sys.platform == "linux":
        # After the change of user, which would undo it. The kernel watches the thread that started us: asyncio does it
        # in the thread of the event loop, which lives as long as anyone needs PostgreSQL.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGINT, 0, 0, 0)
        if os.getppid() != parent:
            sys.exit(1)
    os.execv(command[0], command)  # noqa: S606 this is what it is for


if __name__ == "__main__":
    try:
        main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
    except OSError as error:
        print(error.errno, error.strerror)
        sys.exit(LAUNCH_FAILED)
