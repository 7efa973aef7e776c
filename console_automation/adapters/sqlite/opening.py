"""Opening the database file: what is found is examined before anything is written.

The examination only reads, through a connection that cannot do anything else: as little as closing a
connection that could write moves the log into the file, and a file that is damaged, newer or somebody
else's shall stay as it is to the byte.
"""

import logging
import secrets
import sqlite3
from contextlib import closing
from importlib import resources
from pathlib import Path

from console_automation.adapters.sqlite.faults import translate
from console_automation.errors import StoreDamaged, StoreNewer, StoreSwapped

log = logging.getLogger(__name__)

APPLICATION_ID = 0x43414A31
BUSY_SECONDS = 0.1  # statements run on the loop, which must not wait for other programs' locks
_BALLAST = 4 << 20
_WAL_LIMIT = 16 << 20
_CHECKPOINT_PAGES = 3000


def open_for_writing(path: Path, instance: Path) -> sqlite3.Connection:
    """Return the one connection that writes, on a database that is there, whole and up to date.

    Raises StoreDamaged, StoreNewer, StoreSwapped or Unavailable, and has then changed nothing.
    """
    try:
        is_new = _examine(path, instance)
        connection = sqlite3.connect(
            path, isolation_level=None, timeout=BUSY_SECONDS, check_same_thread=False
        )
        try:
            path.chmod(0o600)
            _set_up(connection)
            _migrate(connection, path, is_new=is_new)
            _note_instance(connection, instance)
            _reserve_space(connection, path)
        except BaseException:
            connection.close()
            raise
        return connection
    except (sqlite3.Error, OSError) as error:
        raise translate(error, path) from error


def connect_for_reading(path: Path) -> sqlite3.Connection:
    """Return a connection that cannot write."""
    connection = sqlite3.connect(
        f"{path.as_uri()}?mode=ro", uri=True, timeout=BUSY_SECONDS, check_same_thread=False
    )
    connection.row_factory = sqlite3.Row
    return connection


# -- what is there -------------------------------------------------------------------------------


def _examine(path: Path, instance: Path) -> bool:
    """Whether the database has yet to be made; raises if it is there and not to be worked with."""
    expected = _expected(instance)
    if _is_empty(path):
        if expected:
            raise StoreSwapped(
                f"{path} is gone, but {instance} says there was one. Put it back, or remove"
                f" {instance} to begin anew."
            )
        return True
    with closing(connect_for_reading(path)) as connection:
        owner = connection.execute("PRAGMA application_id").fetchone()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        known = len(load_migrations())
        if owner != APPLICATION_ID:
            raise StoreDamaged(f"{path} is not a database of this product; it was left as it is.")
        if version > known:
            raise StoreNewer(
                f"{path} has version {version}, this program knows {known}. Install the newer"
                " program again; the database was left as it is."
            )
        if expected and _instance_of(connection) != expected:
            raise StoreSwapped(
                f"{path} is not the database this state directory was created with"
                f" ({instance}); it was left as it is."
            )
    return False


def _is_empty(path: Path) -> bool:
    """Whether there is no database: no file, or one whose creation was cut short."""
    if not path.exists() or path.stat().st_size == 0:
        return True
    with closing(connect_for_reading(path)) as connection:
        return connection.execute("SELECT 1 FROM sqlite_master").fetchone() is None


def _expected(instance: Path) -> str:
    return instance.read_text("ascii", "replace").strip() if instance.exists() else ""


def _instance_of(connection: sqlite3.Connection) -> str:
    row = connection.execute("SELECT value FROM meta WHERE key = 'instance'").fetchone()
    return str(row["value"]) if row else ""


# -- what is made of it --------------------------------------------------------------------------


def _set_up(connection: sqlite3.Connection) -> None:
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA journal_size_limit = {_WAL_LIMIT}")
    connection.execute("PRAGMA fullfsync = ON")
    connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")


def _migrate(connection: sqlite3.Connection, path: Path, *, is_new: bool) -> None:
    migrations = load_migrations()
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if not is_new and version < len(migrations):
        _back_up(connection, path.with_suffix(f".v{version}.bak"))
    for number, script in enumerate(migrations[version:], version + 1):
        with transaction(connection):
            for statement in _split(script):
                connection.execute(statement)
            if number == 1:
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                connection.execute(
                    "INSERT INTO meta VALUES ('instance', ?)", (secrets.token_hex(16),)
                )
            connection.execute(f"PRAGMA user_version = {number}")


def _back_up(connection: sqlite3.Connection, to: Path) -> None:
    with closing(sqlite3.connect(to)) as copy:
        to.chmod(0o600)
        connection.backup(copy)


def _note_instance(connection: sqlite3.Connection, instance: Path) -> None:
    """Write beside the database which one it is, unless that is there."""
    if not _expected(instance):
        instance.write_text(_instance_of(connection) + "\n", encoding="ascii")


def _reserve_space(connection: sqlite3.Connection, path: Path) -> None:
    """Grow file and WAL ahead of need: with free pages in both, small writes go on succeeding
    on a full disk, so the ends of running jobs can still be recorded."""
    try:
        free = connection.execute("PRAGMA freelist_count").fetchone()[0]
        size = connection.execute("PRAGMA page_size").fetchone()[0]
        if free * size < _BALLAST // 2:
            with transaction(connection):
                connection.execute("CREATE TABLE ballast (space BLOB)")
                connection.execute("INSERT INTO ballast VALUES (zeroblob(?))", (_BALLAST,))
            connection.execute("DROP TABLE ballast")
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
    except sqlite3.OperationalError as error:
        log.warning("no space could be reserved in %s: %s", path, error)


class transaction:  # noqa: N801 - reads as the statement it is
    """BEGIN IMMEDIATE … COMMIT, or ROLLBACK: a deferred BEGIN can fail with SQLITE_BUSY_SNAPSHOT."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def __enter__(self) -> None:
        self.connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            try:
                self.connection.execute("COMMIT")
                return
            except sqlite3.Error:
                roll_back(self.connection)
                raise
        roll_back(self.connection)


def roll_back(connection: sqlite3.Connection) -> None:
    """Leave the transaction, if there still is one."""
    if connection.in_transaction:
        connection.execute("ROLLBACK")


def load_migrations() -> list[str]:
    """Return the migration scripts, in order; the n-th takes the file to version n."""
    folder = resources.files("console_automation.adapters.sqlite") / "migrations"
    scripts = sorted(
        (entry for entry in folder.iterdir() if entry.name.endswith(".sql")),
        key=lambda entry: entry.name,
    )
    return [script.read_text(encoding="utf-8") for script in scripts]


def _split(script: str) -> list[str]:
    bare = "\n".join(line for line in script.splitlines() if not line.startswith("--"))
    return [statement for statement in bare.split(";") if statement.strip()]
