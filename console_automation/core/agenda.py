"""Who is due when: the next moment of each of many, found without looking at all of them."""

import heapq


class Agenda:
    """Holds one moment for each id."""

    def __init__(self) -> None:
        self._moments: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []  #: may hold moments that do not count any more

    def put(self, key: str, at: float | None) -> None:
        """Set the moment of an id; None takes the id out."""
        if at is None:
            self._moments.pop(key, None)
            return
        self._moments[key] = at
        heapq.heappush(self._heap, (at, key))
        if len(self._heap) > 2 * len(self._moments) + 100:
            self._heap = [(at, key) for key, at in self._moments.items()]
            heapq.heapify(self._heap)

    @property
    def first(self) -> float | None:
        """The earliest moment there is."""
        while self._heap and self._is_stale(*self._heap[0]):
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def take(self, now: float, *, most: int) -> list[str]:
        """Take out and return the ids whose moment has come, the earliest first."""
        taken: list[str] = []
        while len(taken) < most and (first := self.first) is not None and first <= now:
            _, key = heapq.heappop(self._heap)
            del self._moments[key]
            taken.append(key)
        return taken

    def _is_stale(self, at: float, key: str) -> bool:
        return self._moments.get(key) != at
