"""Who dials the daemon: what they say of themselves, and whether they are this user."""

import json
import os
import socket
import struct
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """How a client introduces itself."""

    kind: str
    protocol: int
    version: str
    pid: int
    cwd: str
    environment: dict[str, str]
    command_line: bool


def introduced(line: bytes | None) -> Hello | None:
    """Return what a connection's first line says, None when it is none of ours."""
    try:
        said = json.loads(line or b"")
        return Hello(
            kind={"mcp": "mcp", "api": "api"}[said["hello"]],
            protocol=int(said["protocol"]),
            version=str(said["version"]),
            pid=int(said["pid"]),
            cwd=str(said["cwd"]),
            environment={str(name): str(value) for name, value in said["environment"].items()},
            command_line=bool(said.get("commandLine")),
        )
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError):
        return None


def is_ours(line: socket.socket) -> bool:
    """Whether the peer is this user (or root). The directory's mode says so too; twice is better."""
    if not hasattr(socket, "SO_PEERCRED"):
        return True
    credentials = line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", credentials)
    return uid in (os.getuid(), 0)
