"""A real ssh server on loopback, for one test: its own keys, its own configuration, its own end."""

import os
import pwd
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from tests.integration.live_shell import completed
from tests.waiting import PATIENCE, until_now

#: sshd wants to be called by its whole path; only the superuser has its place on the PATH.
SSHD = shutil.which("sshd") or "/usr/sbin/sshd"

CONFIG = """
Port {port}
ListenAddress 127.0.0.1
HostKey {place}/host_key
PidFile {place}/pid
AuthorizedKeysFile {place}/authorized_keys
UsePAM {pam}
StrictModes no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UseDNS no
PrintMotd no
PrintLastLog no
AllowTcpForwarding yes
SetEnv XDG_DATA_HOME={place}/data
MaxStartups 100
"""


class Sshd:
    """An sshd that is a child of ours, and a client's side that it lets in.

    It runs as whoever runs the test, and lets just that user in.
    """

    host = "127.0.0.1"

    def __init__(self, place: Path) -> None:
        place.mkdir()
        completed(place / "data")
        self.place = place
        self.port = 0
        self.user = user()
        self.identity_file = place / "identity"
        self.known_hosts_file = place / "known_hosts"
        self.log = place / "log"
        make_key(place / "host_key")
        make_key(self.identity_file)
        self.allow(self.identity_file)
        words = (place / "host_key.pub").read_text().split()[:2]
        self.host_key = " ".join(words)
        self._server: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Return once clients can connect."""
        while self._server is None:
            self.port = free_port()
            server = self._launched()
            if server.poll() is None:
                self._server = server
            elif "Address already in use" not in self.log.read_text():
                raise AssertionError(self.log.read_text())

    def _launched(self) -> subprocess.Popen[bytes]:
        """Return a server that listens, or has ended because it could not."""
        config = self.place / "config"
        config.write_text(CONFIG.format(port=self.port, place=self.place, pam=pam()))
        make_privilege_separation_directory(config)
        with self.log.open("wb") as log:
            call = [SSHD, "-D", "-e", "-f", config]
            server = subprocess.Popen(call, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        until_now(lambda: self._listens() or server.poll() is not None, "sshd")
        return server

    def stop(self) -> None:
        """End the server, and every connection and process that came to be through it."""
        if self._server:
            started = self._descendants()
            self._server.kill()
            self._server.wait(PATIENCE)
            self._server = None
            end(started)

    def know(self) -> None:
        """Write the server's key into the known-hosts file."""
        self.known_hosts_file.write_text(f"[{self.host}]:{self.port} {self.host_key}\n")

    def allow(self, identity: Path) -> None:
        """Let in whoever has this key."""
        with (self.place / "authorized_keys").open("a") as file:
            file.write(identity.with_name(f"{identity.name}.pub").read_text())

    def new_identity(self, name: str, *, passphrase: str) -> Path:
        """Return a key that is let in, and that only the passphrase opens."""
        identity = self.place / name
        make_key(identity, passphrase)
        self.allow(identity)
        return identity

    def connections(self) -> list[psutil.Process]:
        """The server's own processes for the connections there are."""
        return [process for process in self._descendants() if is_sshd(process)]

    def kill_connections(self) -> None:
        """Break every connection as a crash would; the server goes on listening."""
        end(self.connections())

    def _listens(self) -> bool:
        return f"listening on {self.host} port {self.port}" in self.log.read_text()

    def _descendants(self) -> list[psutil.Process]:
        assert self._server
        return psutil.Process(self._server.pid).children(recursive=True)


@contextmanager
def running_sshd(place: Path) -> Iterator[Sshd]:
    """Run a server in a directory that is made for it."""
    server = Sshd(place)
    try:
        server.start()
        yield server
    finally:
        server.stop()


def user() -> str:
    """Return the name of whoever runs the test, whatever the environment says."""
    return pwd.getpwuid(os.getuid()).pw_name


def make_key(path: Path, passphrase: str = "") -> None:
    """Write a pair of keys."""
    call = ["ssh-keygen", "-q", "-t", "ed25519", "-C", "test", "-N", passphrase, "-f", path]
    subprocess.run(call, check=True, stdin=subprocess.DEVNULL, timeout=PATIENCE)


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def make_privilege_separation_directory(config: Path) -> None:
    """Make what a service manager makes at boot; it stays, as other servers need it too."""
    check = subprocess.run(
        [SSHD, "-t", "-f", config], capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    missing = re.search(r"Missing privilege separation directory: (\S+)", check.stderr)
    if missing:
        os.makedirs(missing[1], mode=0o755, exist_ok=True)


def pam() -> str:
    """Whether PAM must be asked: without it, a user whose password is locked is not let in."""
    with suppress(OSError):
        for line in Path("/etc/shadow").read_text().splitlines():
            name, password = line.split(":")[:2]
            if name == user() and password.startswith("!"):
                return "yes"
    return "no"


def is_sshd(process: psutil.Process) -> bool:
    """Whether a process is one of sshd's own: it has several programs in newer versions."""
    try:
        return process.name().startswith("sshd")
    except psutil.NoSuchProcess:
        return False


def end(processes: list[psutil.Process]) -> None:
    """Kill and wait until they are gone; psutil looks that no pid has become another's."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    _, alive = psutil.wait_procs(processes, timeout=PATIENCE)
    assert not alive
