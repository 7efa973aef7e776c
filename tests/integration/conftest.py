"""Fixtures for tests of the whole product: one daemon that many tests share, and gates for jobs."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import new_home

if TYPE_CHECKING:
    from tests.integration.servers import Server

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
