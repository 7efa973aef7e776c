"""Lists of the cluster's jobs, and the jobs that a reference may mean."""

from collections.abc import Sequence

from console_automation.core.census import Jobs, children_of, dead_letters, status_among
from console_automation.core.cluster_job import ClusterJob
from console_automation.core.cluster_names import JOB_IDS
from console_automation.engine.engine import Engine
from console_automation.operations import requests as ask
from console_automation.operations import views as view
from console_automation.operations.cluster_views import cluster_job_view, gateway_of
from console_automation.operations.submission import Call


async def list_cluster_jobs(
    engine: Engine, call: Call, options: ask.ListOptions
) -> view.ListResult:
    """Return a page of the cluster's jobs, newest first; the children of a group stand under it."""
    principal = call.principal
    theirs = [job for job in await gateway_of(engine).known() if principal.owns(job.owner)]
    everything = sorted(theirs, key=_place, reverse=True)
    jobs = {job.id: job for job in everything}
    if options.ref is not None:
        found = _meant(everything, options.ref)
    elif options.cluster == "dead_letters":
        found = [job for job in dead_letters(jobs) if _is_wanted(job, options, jobs)]
    else:
        whole = (job for job in everything if job.group is None)
        found = [job for job in whole if _is_wanted(job, options, jobs)]
    total = len(found)
    if options.cursor is not None:
        place = _place_in(options.cursor, jobs)
        found = [job for job in found if _place(job) < place]
    shown = found[: options.limit]
    views = [cluster_job_view(engine, job, children_of(job, jobs)) for job in shown]
    result: view.ListResult = {"success": True, "jobs": views, "total": total}
    if len(found) > len(shown):
        at, job_id = _place(shown[-1])
        result["nextCursor"] = f"{job_id}-{at:x}"
    return result


def _place(job: ClusterJob) -> tuple[int, str]:
    """Return where a job stands in lists: by its age in microseconds."""
    return round(job.created_at * 1_000_000), job.id


def _place_in(cursor: str, jobs: Jobs) -> tuple[int, str]:
    """Return the place that a cursor names, or that of the job that it is the id of. What stood there may
    be listed no more: it has ended meanwhile, or is removed."""
    if cursor in jobs:
        return _place(jobs[cursor])
    job_id, _, at = cursor.rpartition("-")
    try:
        return int(at, 16), job_id
    except ValueError:
        return 0, ""


def _meant(jobs: Sequence[ClusterJob], reference: str) -> list[ClusterJob]:
    """Return the jobs, newest first, that a reference may mean.

    A whole id means its job. Else a name means those that are not over, or the newest. Else it is the
    beginning of ids, with or without their kind; the children of a group that is meant are not meant.
    """
    begun = reference if reference.startswith(JOB_IDS) else JOB_IDS + reference
    if exact := [job for job in jobs if job.id == begun]:
        return exact
    if named := [job for job in jobs if job.group is None and _name_of(job) == reference]:
        return [job for job in named if not job.is_over] or named[:1]
    found = [job for job in jobs if job.id.startswith(begun)]
    ids = {job.id for job in found}
    return [job for job in found if job.group not in ids]


def _is_wanted(job: ClusterJob, options: ask.ListOptions, jobs: Jobs) -> bool:
    tags = job.request.get("options", {}).get("tags", {})
    if options.session_id is not None or not options.tags.items() <= tags.items():
        return False  # none of them is in a session
    if options.name is not None and _name_of(job) != options.name:
        return False
    if options.status == "active":
        return not job.is_over
    return options.status is None or options.status == status_among(job, jobs)


def _name_of(job: ClusterJob) -> str | None:
    name: str | None = job.request.get("options", {}).get("name")
    return name
