"""What goes wrong under the store, in the product's own words."""

import errno
import sqlite3
from pathlib import Path

from console_automation.errors import (
    ConsoleAutomationError,
    StoreDamaged,
    StoreFull,
    Unavailable,
)


def translate(error: Exception, path: Path) -> ConsoleAutomationError:
    """Return what an error of SQLite or of the file system means to whoever asked."""
    code = getattr(error, "sqlite_errorcode", None)
    primary = code & 0xFF if isinstance(code, int) else None
    no_space = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    if no_space or primary in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
        return StoreFull(
            f"{StoreFull.__doc__} ({error}) Free some space on the disk of {path.parent}."
        )
    if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return StoreDamaged(f"{path} is damaged ({error}); it was left as it is.")
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return Unavailable(f"{path} is locked by another program; try again when it has let go.")
    return Unavailable(f"{path} cannot be used: {error}")
