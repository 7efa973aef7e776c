"""Fixtures for tests of the whole product: a daemon that many tests share, gates for jobs, a small disk."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import new_home

if TYPE_CHECKING:
    from tests.integration.servers import Server
    from tests.integration.zoo import Zoo

#: Waits are cut short so that a test can see one end; everything else is as users have it.
SETTINGS: dict[str, Any] = {
    "toolsets": "jobs sessions definitions schedules workflows",
    "max_wait_ms": 1000,
    "kill_grace_ms": 500,
    "progress_interval_ms": 50,
    "max_concurrent_jobs": 8,
    "max_concurrent_jobs_per_session": 3,
    "max_pending_jobs": 30,
}


@pytest.fixture(scope="session")
def server() -> Iterator["Server"]:
    """One daemon with HTTP for all tests that leave it as they found it."""
    from tests.integration.servers import serving  # which needs POSIX, unlike some tests here

    with new_home() as home, serving(home, http=True, **SETTINGS) as running:
        yield running


class Gate:
    """Something that jobs wait for and a test opens."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def wait(self) -> str:
        """A shell line that ends once the gate is open."""
        return f"while [ ! -e {self._path} ]; do sleep 0.01; done"

    def open(self) -> None:
        self._path.touch()


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path / "gate")


class Disk:
    """A disk that a test may fill."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ballast = path / "ballast"

    def fill(self) -> None:
        """Leave not one byte."""
        with self._ballast.open("ab", buffering=0) as file:
            for size in (65_536, 1):
                try:
                    while True:
                        file.write(bytes(size))
                except OSError:
                    continue

    def free(self) -> None:
        """Give everything back."""
        self._ballast.unlink()


@pytest.fixture
def disk(home: Path) -> Iterator[Disk]:
    """The disk under the run directories: a small one of the test's own."""
    runs = home / "runs"
    runs.mkdir(mode=0o700)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m,mode=0700", "tmpfs", str(runs)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("needs the right to mount a tmpfs")
    yield Disk(runs)
    subprocess.run(["umount", "-l", str(runs)], check=True)


@pytest.fixture
def zoos() -> Iterator[list["Zoo"]]:
    """Those that a test opens."""
    opened: list[Zoo] = []
    yield opened
    for zoo in opened:
        zoo.clear()
