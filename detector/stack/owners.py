"""Folders that one unprivileged user owns and can reach, and programs run as that user."""

from __future__ import annotations

import os
import pathlib
import pwd
import subprocess
from collections.abc import Sequence

from detector import errors
from detector.stack import children

# Debian's package makes the first; every Unix has the second. initdb wants a name in passwd.
UNPRIVILEGED_USERS = ("postgres", "nobody")
# initdb takes a second; a machine that swaps, a minute.
RUN_TIMEOUT_S = 120


def unprivileged_user() -> children.User | None:
    """Who runs what refuses to run as root: None, that is ourselves, unless we are root.

    Raises StackError when root finds no other user.
    """
    if os.geteuid() != 0:
        return None
    for name in UNPRIVILEGED_USERS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return children.User(name, entry.pw_uid, entry.pw_gid)
    raise errors.StackError("PostgreSQL refuses to run as root and no user 'nobody' exists here")


def can_own(folder: pathlib.Path, user: children.User | None) -> bool:
    """Whether the folder is there now, user's alone, and user can reach it."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        if user is not None and not all(_may_enter(parent, user) for parent in folder.parents):
            return False
        make_own(folder, user)
    except OSError:
        return False
    return True


def make_own(folder: pathlib.Path, user: children.User | None) -> None:
    """Make a folder that only user (and root) can enter.

    Raises StackError if it exists and belongs to someone else, or is a link.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    owner = user.uid if user else os.geteuid()
    if user is not None and folder.lstat().st_uid == os.geteuid():
        os.chown(folder, user.uid, user.gid, follow_symlinks=False)
    if folder.is_symlink() or folder.lstat().st_uid != owner:
        raise errors.StackError(f"{folder} belongs to someone else: move it away")
    folder.chmod(0o700)


def _may_enter(folder: pathlib.Path, user: children.User) -> bool:
    stat = folder.stat()
    if stat.st_uid == user.uid:
        return bool(stat.st_mode & 0o100)
    if stat.st_gid == user.gid:
        return bool(stat.st_mode & 0o010)
    return bool(stat.st_mode & 0o001)


def run(
    argv: Sequence[str], user: children.User | None, text: str = ""
) -> subprocess.CompletedProcess[str]:
    """The finished program, given text on stdin; stdout holds stderr too.

    Raises OSError when user may not execute it.
    """
    return subprocess.run(  # noqa: S603 - argv, no shell
        argv,
        input=text,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        cwd="/",
        user=user.uid if user else None,
        group=user.gid if user else None,
        extra_groups=[] if user else None,
        timeout=RUN_TIMEOUT_S,
        check=False,
    )
