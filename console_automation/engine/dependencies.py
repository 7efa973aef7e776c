"""Which jobs wait for which."""

from collections.abc import Iterable


class Dependencies:
    """For every job that is waited for, those that wait; for every waiting job, what it lacks."""

    def __init__(self) -> None:
        self._dependents: dict[str, set[str]] = {}
        self._lacking: dict[str, set[str]] = {}

    def add(self, job_id: str, needs: Iterable[str]) -> None:
        """Have a job wait for others."""
        self._lacking[job_id] = set(needs)
        for need in self._lacking[job_id]:
            self._dependents.setdefault(need, set()).add(job_id)

    def drop(self, job_id: str) -> None:
        """Forget that a job waits."""
        for need in self._lacking.pop(job_id, ()):
            waiting = self._dependents.get(need, set())
            waiting.discard(job_id)
            if not waiting:
                self._dependents.pop(need, None)

    def dependents(self, job_id: str) -> list[str]:
        """Return the jobs that wait for this one, in the order of their ids."""
        return sorted(self._dependents.get(job_id, ()))

    def met(self, job_id: str, need: str) -> bool:
        """Note that a need is met; True when it was the last one."""
        lacking = self._lacking[job_id]
        lacking.discard(need)
        return not lacking

    def lacking(self, job_id: str) -> list[str]:
        """Return what a job still waits for."""
        return sorted(self._lacking.get(job_id, ()))
