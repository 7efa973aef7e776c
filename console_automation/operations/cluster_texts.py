"""What a model reads beside the structured results about the cluster."""

from __future__ import annotations

from console_automation.core.text import counted, human_seconds

TYPE_CHECKING = False
if TYPE_CHECKING:  # the command line says the same words, and does without pydantic
    from console_automation.operations.cluster_views import (
        CountsResult,
        ForgetResult,
        WorkerList,
        WorkerResult,
        WorkerView,
    )


def worker_line(worker: WorkerView) -> str:
    """Say in one line what a worker is and how it stands."""
    labels = " ".join(f"{name}={value}" for name, value in worker["labels"].items())
    standing = worker["status"]
    if standing == "unreachable":
        standing += f", last heard of {human_seconds(worker['lastHeardMs'] / 1000)} ago"
    elif "slots" in worker:
        standing += f", {worker['running']} of {worker['slots']} slots in use"
        if worker["waiting"]:
            standing += f", {worker['waiting']} waiting"
    return f"{worker['host']}{f' ({labels})' if labels else ''}: {standing}"


def listed(result: WorkerList) -> str:
    """Tell of the workers."""
    workers = result["workers"]
    if not workers:
        return (
            "No worker yet. Start one with `console-automation worker` on a machine of the cluster."
        )
    return "\n".join([counted(len(workers), "worker"), *map(worker_line, workers)])


def drained(result: WorkerResult) -> str:
    """Tell what became of a worker."""
    line = worker_line(result["worker"])
    if "cordonedBy" not in result["worker"]:
        return line
    if result["drained"]:
        return f"{line}. It has no job and takes none: it can be stopped."
    return f"{line}. It takes no more jobs; those it has go on. Call again to go on waiting."


def counts(result: CountsResult) -> str:
    """Tell how many jobs there are."""
    lines = [f"Here: {_by_status(result['jobs'])}."]
    if "cluster" in result:
        cluster = result["cluster"]
        heard = "" if cluster["connected"] else ", as last heard of: it cannot be reached"
        dead = counted(cluster["deadLetters"], "dead letter")
        lines.append(f"In the cluster: {_by_status(cluster['jobs'])}; {dead}{heard}.")
    return "\n".join(lines)


def _by_status(jobs: dict[str, int]) -> str:
    return ", ".join(f"{number} {status}" for status, number in jobs.items() if number) or "none"


def forgotten(result: ForgetResult) -> str:
    """Tell which job is gone."""
    return f"{result['jobId']} and its output are removed."
