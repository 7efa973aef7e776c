"""The jobs of the cluster as they are counted and listed: a group stands for its children."""

from collections import Counter
from collections.abc import Mapping

from console_automation.core.cluster_job import ClusterJob, status_of_group
from console_automation.core.job import Status

Jobs = Mapping[str, ClusterJob]  #: by id, as they are known somewhere


def children_of(job: ClusterJob, jobs: Jobs) -> tuple[ClusterJob, ...]:
    """Return the children of a group that are known."""
    return tuple(jobs[child.id] for child in job.children if child.id in jobs)


def status_among(job: ClusterJob, jobs: Jobs) -> Status:
    """Return how a job stands; a group as its children do."""
    return status_of_group(job, children_of(job, jobs)) if job.is_group else job.status


def by_status(jobs: Jobs) -> Counter[Status]:
    """Return how many there are of each status; a group is one."""
    return Counter(status_among(job, jobs) for job in jobs.values() if job.group is None)


def dead_letters(jobs: Jobs) -> list[ClusterJob]:
    """Return what was given up and not run again since; of a group each child by itself."""
    run_again = {job.retry_of for job in jobs.values()}
    return [
        job
        for job in jobs.values()
        if job.is_dead_letter and not run_again & {job.id, job.group or job.id}
    ]
