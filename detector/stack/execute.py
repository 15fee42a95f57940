"""Become another program that dies with its parent: `python -I -S execute.py [options] -- ARGV`.

A child that outlives a killed parent keeps its port and its data folder. Linux can tie the two
together (prctl(2), PR_SET_PDEATHSIG), but the tie is cut whenever the child changes its user, so
the order is: give up root, tie, check that the parent still lives, execute. This runs as a script
of its own, not as a preexec_fn, which is unsafe in a process with threads. Elsewhere than on
Linux the tie is left out; the supervisor's orderly stop works everywhere.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import signal
import sys

# linux/prctl.h
PR_SET_PDEATHSIG = 1


def main(argv: list[str]) -> None:
    """Does not return: the process becomes the program that stands after `--`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--uid", type=int)
    parser.add_argument("--gid", type=int)
    parser.add_argument("command", nargs="+")
    options = parser.parse_args(argv)
    if options.uid is not None:
        os.setgroups([])
        os.setgid(options.gid)
        os.setuid(options.uid)
    _die_with_parent(options.parent)
    try:
        os.execvp(options.command[0], options.command)  # noqa: S606 - argv, no shell
    except OSError as exc:
        sys.stderr.write(f"cannot run {options.command[0]}: {exc.strerror}\n")
        sys.exit(127 if isinstance(exc, FileNotFoundError) else 126)


def _die_with_parent(parent_pid: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent_pid:
        sys.exit("the parent was gone before the program started")


if __name__ == "__main__":
    main(sys.argv[1:])
