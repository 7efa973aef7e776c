"""The ready queue: who gets the next free slot.

Higher priority first, first come first served within one; job ids sort by when the jobs came, so that
one which comes back (its run never began, or is to be repeated) has its old place. Never more live runs
than the caps allow, in total and per session; a session at its cap is passed over and holds nobody
back. Every operation costs O(log n) in the number of waiting jobs.
"""

from collections import Counter
from collections.abc import Collection
from enum import StrEnum
from typing import NamedTuple

from sortedcontainers import SortedList


class Hindrance(StrEnum):
    """Why a waiting job is not running."""

    TURN = "turn"  #: a slot is free, it will be picked at once
    TOTAL_CAP = "total_cap"  #: as many jobs run as may
    SESSION_CAP = "session_cap"  #: as many jobs of its session run as may


class _Place(NamedTuple):
    """Where a job stands. A tuple, because queues compare places all the time."""

    rank: int  #: minus the priority, so that a higher priority sorts first
    job_id: str
    session_id: str | None


class ReadyQueue:
    """Waiting jobs and taken slots. `total` and `per_session` are the caps on live runs."""

    def __init__(self, *, total: int, per_session: int) -> None:
        self.total = total
        self.per_session = per_session
        self._places: dict[str, _Place] = {}
        self._waiting: SortedList[_Place] = SortedList()
        self._sessions: dict[str | None, SortedList[_Place]] = {}
        #: the first place of every session that is below its cap
        self._heads: SortedList[_Place] = SortedList()
        self._slots: dict[str, str | None] = {}
        self._taken: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, job_id: str) -> bool:
        return job_id in self._places

    @property
    def live(self) -> int:
        """How many slots are taken."""
        return len(self._slots)

    @property
    def holders(self) -> Collection[str]:
        """The jobs that hold a slot."""
        return self._slots.keys()

    def push(self, job_id: str, *, priority: int, session_id: str | None) -> None:
        """Add a waiting job behind those of its priority that came before it."""
        if job_id in self._places:
            raise ValueError(f"{job_id} is already waiting")
        place = _Place(-priority, job_id, session_id)
        self._places[job_id] = place
        self._waiting.add(place)
        places = self._sessions.get(session_id)
        if places and places[0] < place:
            places.add(place)  # the session's head stays the same
        else:
            self._change_session(session_id, add=place)

    def remove(self, job_id: str) -> None:
        """Forget a waiting job; one that does not wait is no error."""
        place = self._places.pop(job_id, None)
        if place is not None:
            self._waiting.remove(place)
            self._change_session(place.session_id, drop=place)

    def pick(self) -> str | None:
        """Take a slot for the first job that may run and return its id, None if none may."""
        if self.live >= self.total or not self._heads:
            return None
        place: _Place = self._heads[0]
        del self._places[place.job_id]
        self._waiting.remove(place)
        self._change_session(place.session_id, drop=place, take=place.job_id)
        return place.job_id

    def occupy(self, job_id: str, session_id: str | None) -> None:
        """Take a slot for a run that is already live, whatever the caps say (after a restart)."""
        self._change_session(session_id, take=job_id)

    def release(self, job_id: str) -> None:
        """Give a job's slot back; a job without one is no error."""
        if job_id in self._slots:
            self._change_session(self._slots[job_id], free=job_id)

    def position(self, job_id: str) -> int | None:
        """Return 1 for the job that is next in order, None for one that does not wait."""
        place = self._places.get(job_id)
        return None if place is None else self._waiting.index(place) + 1

    def hindrance(self, job_id: str) -> Hindrance | None:
        """Return why a waiting job does not run, None for one that does not wait."""
        place = self._places.get(job_id)
        if place is None:
            return None
        if self.live >= self.total:
            return Hindrance.TOTAL_CAP
        return Hindrance.TURN if self._open(place.session_id) else Hindrance.SESSION_CAP

    def _open(self, session_id: str | None) -> bool:
        return session_id is None or self._taken[session_id] < self.per_session

    def _places_of(self, session_id: str | None) -> "SortedList[_Place]":
        if session_id not in self._sessions:
            self._sessions[session_id] = SortedList()
        return self._sessions[session_id]

    def _change_session(
        self,
        session_id: str | None,
        *,
        add: _Place | None = None,
        drop: _Place | None = None,
        take: str | None = None,
        free: str | None = None,
    ) -> None:
        """Change one session's places and slots, and keep its head where it belongs."""
        places = self._places_of(session_id)
        if places and self._open(session_id):
            self._heads.remove(places[0])
        if add:
            places.add(add)
        if drop:
            places.remove(drop)
        if take:
            self._slots[take] = session_id
        if free:
            del self._slots[free]
        if session_id is not None and (take or free):
            self._taken[session_id] += 1 if take else -1
        if places and self._open(session_id):
            self._heads.add(places[0])
        elif not places:
            del self._sessions[session_id]
            if session_id is not None and not self._taken[session_id]:
                del self._taken[session_id]
