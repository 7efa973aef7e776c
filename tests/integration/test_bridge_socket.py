"""Promise 17, on the daemon's socket: it is for this user alone, by the directory's mode and by asking
the kernel who dials."""

import os
import socket
import stat
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from console_automation import paths
from console_automation.frontends.hello import is_ours
from tests.integration.servers import Server, serving

NOBODY = 65_534
#: Dials as somebody else, says hello as one of ours would, and prints whatever comes back.
STRANGER = """
import os, socket, sys
os.setgroups([]); os.setgid({uid}); os.setuid({uid})
line = socket.socket(socket.AF_UNIX)
try:
    line.connect(sys.argv[1])
    line.sendall(sys.argv[2].encode() + b"\\n")
    line.sendall(sys.argv[3].encode() + b"\\n")
    line.shutdown(socket.SHUT_WR)
    answer = b""
    while data := line.recv(4096):
        answer += data
    print(answer.decode())
except PermissionError:
    print("no entry")
except ConnectionError:
    print("")
"""
HELLO = '{"hello":"api","protocol":2,"version":"0","pid":1,"cwd":"/","environment":{"PATH":"/bin"}}'
ORDER = '{"operation":"console_execute_async","arguments":{"command":"true"}}'
NEEDS_ROOT = pytest.mark.skipif(os.getuid() != 0, reason="only root can dial as somebody else")


def dial_as(uid: int, server: Server) -> str:
    """Have another user dial the socket and give an order; returns what they were answered."""
    program = STRANGER.format(uid=uid)
    path = paths.daemon_socket(str(server.home))
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program, path, HELLO, ORDER],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        cwd="/",
    )
    return done.stdout.strip()


def test_the_state_directory_and_what_is_in_it_can_be_entered_by_its_owner_alone(
    server: Server,
) -> None:
    server.call("console_execute_command", command="echo secret")
    directories = [server.home, *(path for path in server.home.rglob("*") if path.is_dir())]
    assert len(directories) > 3  # that of a run among them
    for directory in directories:
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700, directory


def test_a_directory_that_others_may_enter_is_closed_to_them(home: Path) -> None:
    home.chmod(0o777)
    with serving(home):
        assert stat.S_IMODE(home.stat().st_mode) == 0o700


@NEEDS_ROOT
def test_another_user_cannot_get_to_the_socket(server: Server) -> None:
    assert dial_as(NOBODY, server) == "no entry"


@NEEDS_ROOT
def test_another_user_who_gets_to_the_socket_is_hung_up_on(home: Path) -> None:
    with serving(home) as server:
        for directory in (home, home / "run"):
            directory.chmod(0o755)
        (home / "run" / "daemon.sock").chmod(0o777)
        assert dial_as(NOBODY, server) == ""
        assert server.totals() == 0
        assert '"ok": true' in dial_as(0, server)
        assert server.totals() == 1


@pytest.mark.parametrize(("peer", "served"), [(1000, True), (0, True), (1001, False)])
def test_the_kernel_says_who_dials(
    monkeypatch: pytest.MonkeyPatch, peer: int, served: bool
) -> None:
    """For a daemon of user 1000: themselves and root are served, nobody else."""

    class Line:
        def getsockopt(self, level: int, option: int, size: int) -> bytes:
            assert (level, option) == (socket.SOL_SOCKET, socket.SO_PEERCRED)
            return struct.pack("3i", 4711, peer, peer)[:size]

    monkeypatch.setattr(os, "getuid", lambda: 1000)
    line: Any = Line()
    assert is_ours(line) is served
