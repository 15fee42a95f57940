"""Sizes of mounted file systems, asked so that a hung one holds up nobody else."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from typing import Final

from exporter import procfs

# statfs of these answers from memory; every other type may ask a server or a daemon.
PROMPT_TYPES: Final = frozenset(
    (b"ext2", b"ext3", b"ext4", b"xfs", b"tmpfs", b"ramfs", b"vfat", b"exfat")
)
Size = os.statvfs_result
Outcome = Size | OSError
Statvfs = Callable[[bytes], Size]


class Question:
    """One statvfs in a thread of its own."""

    def __init__(self, path: bytes, statvfs: Statvfs) -> None:
        self._path = path
        self._statvfs = statvfs
        self._answered = threading.Event()
        self._outcome: Outcome = TimeoutError(f"{path!r} does not answer")
        name = f"statvfs {path.decode('utf-8', 'replace')}"
        threading.Thread(target=self._ask, name=name, daemon=True).start()

    def _ask(self) -> None:
        self._outcome = outcome(self._path, self._statvfs)
        self._answered.set()

    def wait(self, timeout_s: float) -> Outcome:
        """The answer, or TimeoutError when there is none in time."""
        if self._answered.wait(timeout_s):
            return self._outcome
        return TimeoutError(f"{self._path!r} does not answer")

    def is_open(self) -> bool:
        return not self._answered.is_set()


class MountSizes:
    """Prompt file systems at once; the others side by side, each asked by one thread at most."""

    def __init__(
        self, timeout_s: float, monotonic: Callable[[], float], statvfs: Statvfs = os.statvfs
    ) -> None:
        self._timeout_s = timeout_s
        self._monotonic = monotonic
        self._statvfs = statvfs
        self._hung: dict[bytes, Question] = {}

    def sizes(self, mounts: Sequence[tuple[bytes, bool]]) -> list[Outcome]:
        """One outcome for each (path, is prompt), in order; a path that hung once and has not
        answered since is not asked again.
        """
        slow = {path: self._hung.get(path) for path, is_prompt in mounts if not is_prompt}
        self._hung = {
            path: was for path, was in self._hung.items() if path in slow and was.is_open()
        }
        asked = {path: Question(path, self._statvfs) for path in slow if path not in self._hung}
        answers = [
            outcome(path, self._statvfs) if is_prompt else None for path, is_prompt in mounts
        ]
        deadline = self._monotonic() + self._timeout_s if asked else 0.0
        return [
            answer if answer is not None else self._answer(path, asked, deadline)
            for (path, _), answer in zip(mounts, answers, strict=True)
        ]

    def _answer(self, path: bytes, asked: dict[bytes, Question], deadline: float) -> Outcome:
        question = asked.get(path)
        if question is None:
            return self._hung[path].wait(0)
        answer = question.wait(max(0.0, deadline - self._monotonic()))
        if question.is_open():
            self._hung[path] = question
        return answer


def outcome(path: bytes, statvfs: Statvfs) -> Outcome:
    """The size of the file system at this path, or why there is none."""
    try:
        return statvfs(path)
    except OSError as error:
        return error


def prompt_paths(mounts: Sequence[procfs.Mount]) -> set[bytes]:
    """Mount points that can be asked at once: of a prompt type, and not below a slow mount."""
    slow = [
        mount.mount_point.rstrip(b"/") + b"/"
        for mount in mounts
        if mount.fs_type not in PROMPT_TYPES and mount.mount_point != b"/"
    ]
    return {
        mount.mount_point
        for mount in mounts
        if mount.fs_type in PROMPT_TYPES
        and not any(mount.mount_point.startswith(above) for above in slow)
    }
