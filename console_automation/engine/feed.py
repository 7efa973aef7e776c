"""What has happened, told to whoever listens: metrics, waiters, clients with subscriptions."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from console_automation.core.job import Job
from console_automation.core.lifecycle import Event

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Change:
    """A committed step in a job's life. `before` is None for a new job."""

    before: Job | None
    after: Job
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """Something is new, or is not any more as it was; how it is now can be asked for."""

    id: str
    is_new: bool = False


class Feed(Generic[T]):
    """Calls every listener for every item, in order. A listener that raises harms nobody else."""

    def __init__(self) -> None:
        self._listeners: list[Callable[[T], None]] = []

    def listen(self, listener: Callable[[T], None]) -> Callable[[], None]:
        """Add a listener; the returned function removes it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def publish(self, item: T, *, about: str) -> None:
        """Tell all listeners. `about` is the id that the log names should one of them fail."""
        for listener in tuple(self._listeners):
            try:
                listener(item)
            except Exception:
                log.exception("a listener failed for %s", about)
