"""What is known of a worker: its entry, which stands while it is away, and its signs of life."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field


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
    """A sign of life, and how busy it is."""

    instance: str
    slots: int
    running: int
    waiting: int


def beat_to_bytes(beat: Beat) -> bytes:
    """Return a sign of life as it is sent."""
    return json.dumps(asdict(beat)).encode("ascii")


def beat_from_bytes(data: bytes) -> Beat:
    """Return the sign of life that was sent. Raises ValueError or TypeError."""
    return Beat(**json.loads(data))
