"""What is known of a worker: its entry, which stands while it is away, and its signs of life."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum


class WorkerStatus(StrEnum):
    """How a worker stands."""

    LIVE = "live"  #: heard of within its lease
    CORDONED = "cordoned"  #: live, and told to take no more jobs
    UNREACHABLE = "unreachable"  #: not heard of for longer than its lease


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A worker's entry. `instance` is that of its state directory, which holds what it has run."""

    host: str
    instance: str
    version: str
    labels: Mapping[str, str] = field(default_factory=dict)
    cordoned_by: str = ""  #: who told it to take no more jobs; "" when it takes them


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """A sign of life, and how busy it is. `holds` counts the jobs of the cluster that it has, or is about
    to have, until their ends are in the records."""

    instance: str
    slots: int
    running: int
    waiting: int
    holds: int = 0
    takes_jobs: bool = True

    @property
    def is_empty(self) -> bool:
        """Whether it had nothing to do, and knew that nothing would come."""
        return not (self.takes_jobs or self.running or self.waiting or self.holds)


def beat_to_bytes(beat: Beat) -> bytes:
    """Return a sign of life as it is sent."""
    return json.dumps(asdict(beat)).encode("ascii")


def beat_from_bytes(data: bytes) -> Beat:
    """Return the sign of life that was sent. Raises ValueError or TypeError."""
    return Beat(**json.loads(data))
