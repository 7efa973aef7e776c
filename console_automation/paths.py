"""Where things are. Standard library only, and little of it: the bridge starts with this."""

import os
import stat
import zlib

_LONGEST_SOCKET_PATH = 100  # sun_path holds 104 bytes on macOS and 108 on Linux


def home() -> str:
    """Return the state directory: CONSOLE_AUTOMATION_HOME, or ~/.console-automation."""
    return os.path.abspath(
        os.environ.get("CONSOLE_AUTOMATION_HOME") or os.path.expanduser("~/.console-automation")
    )


def runtime_directory(home: str) -> str:
    """Return the directory for sockets: in the state directory, or a short one elsewhere.

    The system limits the length of a socket's path, so a deep state directory gets a directory of
    its own under XDG_RUNTIME_DIR or /tmp, named after the state directory.
    """
    inside = os.path.join(home, "run")
    if len(os.fsencode(inside)) + len("/daemon.sock") <= _LONGEST_SOCKET_PATH:
        return inside
    base = os.environ.get("XDG_RUNTIME_DIR") or "/tmp"
    name = zlib.crc32(os.fsencode(home))
    return os.path.join(base, f"console-automation-{os.getuid()}-{name:08x}")


def make_private(directory: str) -> None:
    """Create a directory that only this user can enter; refuse one that is somebody else's.

    Raises PermissionError.
    """
    os.makedirs(directory, mode=0o700, exist_ok=True)
    found = os.lstat(directory)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise PermissionError(f"{directory} does not belong to this user")
    if found.st_mode & 0o077:
        os.chmod(directory, 0o700)


def daemon_socket(home: str) -> str:
    """Return the path of the socket that clients dial."""
    return os.path.join(runtime_directory(home), "daemon.sock")


def shim_socket(home: str) -> str:
    """Return the path of the socket that shims dial."""
    return os.path.join(runtime_directory(home), "shims.sock")
