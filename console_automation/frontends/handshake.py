"""The first line of a connection to the daemon, and the daemon's answer. Standard library only.

    client -> daemon   {"hello": "mcp" | "api", "protocol": 2, "version": "0.1.0",
                        "pid": n, "cwd": ..., "environment": {...}, "commandLine": bool}
    daemon -> client   {"ok": true, "protocol": 2, "version": "0.1.0", "pid": n}
                       {"ok": false, "error": ..., "retiring": bool}

The protocol number changes when old and new could not understand each other; the version tells
releases apart. A client that is newer than the daemon asks it to retire: the daemon ends, its jobs go
on, and the client starts the new one. An older client is told to upgrade.
"""

PROTOCOL = 2  #: 2: the command line, whose questions a daemon of 0.1.0 does not know
LONGEST_LINE = 16 << 20  #: bytes; what is longer is refused


def parse_version(text: str) -> tuple[int, ...]:
    """Return a version as numbers to compare; what is not a number counts as 0."""
    return tuple(int(part) if part.isdigit() else 0 for part in text.split(".")[:3])


def must_retire(
    theirs: int, their_version: str, ours: int, our_version: str, *, others: int
) -> bool:
    """Whether the daemon has to make room for a newer one.

    A newer protocol always wins, or the newcomer could not be served at all. A newer release wins
    when no `others` are connected whom the change would disturb.
    """
    if theirs != ours:
        return theirs > ours
    return others == 0 and parse_version(their_version) > parse_version(our_version)
