"""promtool as a judge of rule files and of their tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from concurrent import futures
from pathlib import Path

from detector import errors
from detector.policy import drafts

TIMEOUT_S, TIMEOUT_A_FILE_S = 60, 15
"""A test that begins at an hour of a later day takes seconds, any other milliseconds."""
FILES_A_RUN = 8
"""Fewer are not worth a process of their own."""
ROOM_BYTES = 256 * 1024 * 1024
"""As much as some thousand policies take; a container has 64 MiB, which may be too little."""
_SHM = Path("/dev/shm")  # noqa: S108 - a folder of a random name is made in it
_HEADS = ("Checking ", "Unit Testing: ")


class Promtool:
    """A promtool. Files are shared among as many runs at a time as there are cores.

    Both methods give what it said against each file that it refused, in one line.
    Raises StackError when it can't be run, or fails without saying which file it is about.
    """

    def __init__(self, program: Path, *, workers: int | None = None) -> None:
        self._program = program
        self._workers = workers or os.cpu_count() or 1

    def check(self, rule_files: Sequence[Path]) -> Mapping[Path, str]:
        """What is wrong with rule files."""
        return self._ask("check", rule_files)

    def test(self, test_files: Sequence[Path]) -> Mapping[Path, str]:
        """Which tests fail; the rule files stand in the test files."""
        return self._ask("test", test_files)

    def _ask(self, verb: str, files: Sequence[Path]) -> Mapping[Path, str]:
        runs = max(1, min(self._workers, len(files) // FILES_A_RUN))
        shares = [files[start::runs] for start in range(runs) if files]
        with futures.ThreadPoolExecutor(runs, thread_name_prefix="promtool") as pool:
            found = list(pool.map(lambda share: self._run(verb, share), shares))
        return {file: text for each in found for file, text in each.items()}

    def _run(self, verb: str, files: Sequence[Path]) -> Mapping[Path, str]:
        timeout_s = TIMEOUT_S + TIMEOUT_A_FILE_S * len(files)
        argv: list[str | Path] = [self._program, verb, "rules", *files]
        try:
            ran = subprocess.run(  # noqa: S603 - argv, no shell
                argv,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,  # where complaints stand below the names of files
                text=True,
                env={"TMPDIR": str(files[0].parent)},  # it makes a database for each test
                timeout=timeout_s,
                check=False,
            )
        except OSError as exc:
            raise errors.StackError(f"{self._program}: {exc.strerror}") from exc
        except subprocess.TimeoutExpired as exc:
            said = f"took longer than {timeout_s} s"
            raise errors.StackError(f"{self._program} {verb} rules: {said}") from exc
        if ran.returncode == 0:
            return {}
        found = _complaints(ran.stdout, files)
        if found:
            return found
        if len(files) > 1:  # 3.x does not say which of several files it speaks of
            each_alone = [self._run(verb, [file]) for file in files]
            return {file: text for found in each_alone for file, text in found.items()}
        said = " ".join(ran.stdout.split()) or f"ended with {ran.returncode} and said nothing"
        raise errors.StackError(f"{self._program} {verb} rules: {said}")


def check(promtool: Promtool | None, each: Sequence[drafts.Draft]) -> None:
    """The same, where there is a promtool; else what the compiler has parsed will do."""
    if promtool is None:
        return
    try:
        judge(promtool, each)
    except OSError as exc:
        raise errors.StackError(f"{exc.filename}: {exc.strerror}") from exc


def judge(promtool: Promtool, each: Sequence[drafts.Draft]) -> None:
    """Have the rules of these policies checked, and their tests run.

    Raises PolicyErrors with what is wrong with which, StackError for promtool itself.
    """
    with tempfile.TemporaryDirectory(prefix="mda-policies-", dir=_memory()) as folder:
        rule_files, test_files = write(Path(folder), each)
        by_file = rule_files
        complaints = promtool.check(list(rule_files))
        if not complaints:
            by_file, complaints = test_files, promtool.test(list(test_files))
        faults = []
        for file, text in complaints.items():
            draft = by_file[file]
            fault = errors.PolicyFault("", draft.document.name, f"promtool: {text}")
            faults.append(errors.PolicyError(draft.source, [fault]))
    if faults:
        raise errors.PolicyErrors(faults)


def _memory() -> Path | None:
    """A disk in memory, if there is one with room: promtool waits for the disk at each test."""
    try:
        has_room = shutil.disk_usage(_SHM).free > ROOM_BYTES
    except OSError:
        return None
    return _SHM if has_room and os.access(_SHM, os.W_OK | os.X_OK) else None


def write(
    folder: Path, each: Sequence[drafts.Draft]
) -> tuple[dict[Path, drafts.Draft], dict[Path, drafts.Draft]]:
    """Rule files, and below tests/ those that have any tests; each with its policy. Raises
    OSError."""
    rule_files, test_files = {}, {}
    (folder / "tests").mkdir(parents=True, exist_ok=True)
    for draft in each:
        rule_file = folder / draft.rule_file
        test_file = folder / "tests" / f"{rule_file.stem}_test.yml"
        rule_file.write_text(draft.rules_text, encoding="utf-8")
        test_file.write_text(draft.tests_text, encoding="utf-8")
        rule_files[rule_file] = test_files[test_file] = draft
    return rule_files, test_files


def _complaints(output: str, files: Sequence[Path]) -> dict[Path, str]:
    """What stands between the heads of the files, but for praise."""
    said: dict[Path, list[str]] = {file: [] for file in files}
    is_alone = len(files) == 1 and "FAILED" in output
    current: Path | None = files[0] if is_alone else None
    by_name = {str(file): file for file in files}
    for line in output.splitlines():
        head = next((each for each in _HEADS if line.startswith(each)), None)
        if head is not None:
            current = by_name.get(line.removeprefix(head).strip())
            continue
        named = next((file for name, file in by_name.items() if name in line), current)
        text = line.strip()
        if named is not None and text and not text.startswith("SUCCESS") and text != "FAILED:":
            said[named].append(text.replace(f"{named}: ", ""))
    return {file: " ".join(lines) for file, lines in said.items() if lines}
