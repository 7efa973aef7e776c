"""Which active job has which name: a name belongs to one active job of a project."""

from console_automation.core.job import Job


class Names:
    """The names that are taken, by project.

    A database may hold several active jobs of one name: from before names were unique, or because the
    disk did not take an end that freed the name. Then it is taken until the last of them is over.
    """

    def __init__(self) -> None:
        self._holders: dict[tuple[str, str], list[str]] = {}

    def holder(self, project: str, name: str | None) -> str | None:
        """Return the id of the newest job that has a name, None when it is free."""
        holders = self._holders.get((project, name)) if name is not None else None
        return holders[-1] if holders else None

    def take(self, job: Job) -> None:
        """Note that a job has its name."""
        if job.spec.name is not None:
            self._holders.setdefault((job.spec.project, job.spec.name), []).append(job.id)

    def free(self, job: Job) -> None:
        """A job is over, or was not accepted: it has its name no more."""
        key = (job.spec.project, job.spec.name or "")
        holders = self._holders.get(key, [])
        if job.id in holders:
            holders.remove(job.id)
            if not holders:
                del self._holders[key]
