"""Which active job has which name: a name belongs to one active job of a project."""

from console_automation.core.job import Job


class Names:
    """The names that are taken, by project."""

    def __init__(self) -> None:
        self._holders: dict[tuple[str, str], str] = {}

    def holder(self, project: str, name: str | None) -> str | None:
        """Return the id of the job that has a name, None when it is free."""
        return None if name is None else self._holders.get((project, name))

    def take(self, job: Job) -> None:
        """Note that a job has its name."""
        if job.spec.name is not None:
            self._holders[job.spec.project, job.spec.name] = job.id

    def free(self, job: Job) -> None:
        """A job is over, or was not accepted: its name may be taken again."""
        key = (job.spec.project, job.spec.name or "")
        if self._holders.get(key) == job.id:
            del self._holders[key]
