"""What a model reads beside the structured results about workers."""

from __future__ import annotations

from console_automation.core.text import counted, human_seconds

TYPE_CHECKING = False
if TYPE_CHECKING:  # the command line says the same words, and does without pydantic
    from console_automation.operations.cluster_views import WorkerList, WorkerResult, WorkerView


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
