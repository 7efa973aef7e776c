"""What has happened, told to whoever listens: metrics, waiters, clients with subscriptions."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from console_automation.core.job import Job
from console_automation.core.lifecycle import Event

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Change:
    """A committed step in a job's life. `before` is None for a new job."""

    before: Job | None
    after: Job
    events: tuple[Event, ...]


Listener = Callable[[Change], None]


class Feed:
    """Calls every listener for every change, in order. A listener that raises harms nobody else."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Add a listener; the returned function removes it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def publish(self, change: Change) -> None:
        """Tell all listeners."""
        for listener in tuple(self._listeners):
            try:
                listener(change)
            except Exception:
                log.exception("a listener failed for job %s", change.after.id)
