"""What the cluster stands on: records that change by compare-and-set, hints, and questions to a worker.

Truth is in the records. A hint says that a record may be worth a look: it may come twice, late, or never.
An answer is only what somebody says. Whatever cannot be reached is Unavailable, and what was being written
then may have been written or not.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol


class Stale(Exception):
    """The record is not as it was when it was read: somebody else has changed, made or removed it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A record. `revision` grows with every write, and is what the next one is compared with."""

    key: str
    value: bytes
    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone:
    """A record that was deleted, or whose time is over."""

    key: str


class Records(Protocol):
    """Records under keys of [A-Za-z0-9_-]. Every write is on the cluster's disks when it returns,
    except where the records are only signs of life.

    Every method raises Unavailable when the cluster cannot be reached.
    """

    async def get(self, key: str) -> Stored | None:
        """Return a record as it is now, at least as new as any write that has returned to anybody."""
        ...

    async def create(self, key: str, value: bytes) -> int:
        """Store a record that does not exist; return its revision.

        Raises Stale when it exists, LimitReached when there is no room.
        """
        ...

    async def update(
        self, key: str, value: bytes, *, revision: int, keep: float | None = None
    ) -> int:
        """Replace the record of that revision; return the new one. It is forgotten after `keep` seconds,
        a second at least; None: never.

        Raises Stale when it has another revision by now, LimitReached when there is no room.
        """
        ...

    async def put(self, key: str, value: bytes) -> int:
        """Store a record whatever was there; return its revision. Raises LimitReached."""
        ...

    async def delete(self, key: str) -> None:
        """Remove a record; one that does not exist is no error."""
        ...

    async def fill(self) -> float:
        """Return which share of the room is in use, from 0 to 1. A write that replaces another of its size
        may be refused when that is nearly 1."""
        ...

    def watch(self) -> AsyncIterator[Stored | Gone | None]:
        """Yield every record there is, then None once, then every change as it comes.

        Goes on over a lost connection that comes back; raises Unavailable when it cannot be sure to have
        missed nothing, and is then to be begun again.
        """
        ...


class Hint(Protocol):
    """A word that a job waits. It comes again unless it is dealt with in five seconds."""

    job_id: str

    async def done(self) -> None:
        """It need not come again. Failing to say so is no error: it only comes again."""
        ...

    async def later(self, delay: float) -> None:
        """Have it come again after so many seconds, to whoever asks then."""
        ...


class ClusterBus(Protocol):
    """The connection to the cluster."""

    @property
    def jobs(self) -> Records:
        """Return the jobs of the cluster."""
        ...

    @property
    def workers(self) -> Records:
        """Return the entries of its workers."""
        ...

    @property
    def beats(self) -> Records:
        """Return their signs of life: kept in memory, forgotten after the lease."""
        ...

    @property
    def is_connected(self) -> bool:
        """Whether the cluster could be reached a moment ago."""
        ...

    def open(self, connected: Callable[[], None]) -> None:
        """Begin to connect and never cease to; `connected` is called whenever that has succeeded."""
        ...

    async def close(self) -> None:
        """Let go. Idempotent."""
        ...

    async def hint(self, queue: str, job_id: str) -> None:
        """Put a hint into a queue, of which there is none for this job; one that is there stays.

        A queue is `any` or `host.<host name>`. Raises Unavailable.
        """
        ...

    async def hints(self, queue: str, *, limit: int, wait: float) -> list[Hint]:
        """Return up to `limit` hints of a queue, each to one of those who ask, waiting for the first.

        Raises Unavailable.
        """
        ...

    async def hinted(self) -> set[str]:
        """Return the ids of the jobs for which there is a hint in any queue. Raises Unavailable."""
        ...

    async def ask(self, host: str, question: bytes, *, timeout: float) -> bytes:
        """Return a worker's answer. Raises Unavailable when there is none in so many seconds."""
        ...

    async def answer(self, host: str, reply: Callable[[bytes], Awaitable[bytes]]) -> None:
        """Have the questions to a host answered, now and after every new connection."""
        ...
