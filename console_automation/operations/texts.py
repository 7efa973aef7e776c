"""What a model reads beside the structured result: what happened, and what to do next, in few words."""

from __future__ import annotations

from collections.abc import Iterable

from console_automation.core.text import counted, human_bytes, human_seconds, one_line

TYPE_CHECKING = False
if TYPE_CHECKING:  # the command line says the same words, and does without pydantic
    from console_automation.operations.views import (
        CancelResult,
        ChunkView,
        CleanupResult,
        CommandResult,
        ExecuteResult,
        InputResult,
        JobResult,
        JobView,
        ListResult,
        MetricsResult,
        OutputResult,
        ProgressView,
        WaitResult,
    )

#: A client may show its model only this text, so the end of the output is in it; more would be the
#: same bytes twice.
_EXCERPT = 1500


def job_line(job: JobView) -> str:
    """Say in one line what a job is and how it stands."""
    command = " ".join([job["command"], *job.get("args", [])])
    title = one_line(job.get("name") or job.get("definition") or command, 60)
    return f"{job['id']} `{title}`: {verdict(job)}"


def verdict(job: JobView) -> str:
    """Say how a job stands, or how it ended and who ended it."""
    status, took = job["status"], _took(job)
    if status == "pending":
        place = f", number {job['queuePosition']} in the queue" if "queuePosition" in job else ""
        return f"pending{place}: {job.get('waitingFor', 'about to start')}"
    if status == "running":
        has_attempts = job["maxAttempts"] > 1 and "children" not in job
        attempt = f" (attempt {job['attempt']} of {job['maxAttempts']})" if has_attempts else ""
        return f"running{attempt}" + (f": {job['waitingFor']}" if "waitingFor" in job else "")
    if status == "completed":
        return f"completed, exit code 0{took}{_left(job)}"
    return f"{status}: {_why(job)}{took}{_left(job)}"


def _why(job: JobView) -> str:
    reason = job.get("reason", "")
    ended = _ended(job)
    match reason:
        case "exit_code":
            return f"exit code {job['exitCode']}"
        case "signal":
            return f"ended by {job.get('signal')}, sent by somebody else"
        case "timeout":
            return f"ended after its timeout of {human_seconds(job['timeout'] / 1000)}{ended}"
        case "idle_timeout":
            return f"ended because it was silent too long{ended}"
        case "output_limit":
            return f"ended because it printed more than its limit{ended}"
        case "cancelled":
            return f"on request{ended}"
        case _:
            return job.get("error", reason)


def _ended(job: JobView) -> str:
    if "signal" in job:
        return f" ({job['signal']})"
    return f" (exit code {job['exitCode']})" if job["exitCode"] is not None else ""


def _took(job: JobView) -> str:
    return f", after {human_seconds(job['durationMs'] / 1000)}" if "durationMs" in job else ""


def _until(timeout: int) -> str:
    """Say when a command is ended that goes on as a job."""
    if not timeout:
        return "without a timeout"
    return f"which is ended {human_seconds(timeout / 1000)} after its start, if it runs that long"


def _left(job: JobView | CommandResult) -> str:
    left = job.get("leftovers", [])
    if not left:
        return ""
    ended = sum(process["ended"] for process in left)
    fate = "ended too" if ended == len(left) else f"{len(left) - ended} still alive"
    return f"; it left {counted(len(left), 'background process')} behind ({fate})"


def excerpt(output: str) -> str:
    """Return the end of the output, ready to be appended to a text."""
    if not output:
        return "\n(no output)"
    if len(output) <= _EXCERPT:
        return f"\n{output}"
    hint = "[… what comes before is in the structured result; tail and grep fetch less]"
    return f"\n{hint}\n{output[-_EXCERPT:]}"


def joined(chunks: Iterable[ChunkView]) -> str:
    """Return the text of chunks."""
    return "".join(chunk["content"] for chunk in chunks)


def executed(result: ExecuteResult) -> str:
    """Tell of a submission."""
    job = result["job"]
    if "output" in result:
        return job_line(job) + excerpt(joined(result["output"]))
    if job["status"] not in ("pending", "running"):
        return f"{job_line(job)}\nIt is over: read it with console_get_job_output."
    return (
        f"{job_line(job)}\nIt goes on by itself. Wait with console_wait_for_jobs, read with"
        " console_get_job_output."
    )


def command(result: CommandResult) -> str:
    """Tell of a foreground command."""
    took = human_seconds(result["durationMs"] / 1000)
    if result["status"] in ("running", "pending"):
        head = (
            f"Still {result['status']} after {took}, now as background job {result['jobId']}"
            f" {_until(result.get('timeout', 0))}. Wait with console_wait_for_jobs, read on with"
            f" console_get_job_output since={result['nextSince']}, end it with console_cancel_job."
        )
    elif result["exitCode"] is not None:
        why = f" ({result['reason']})" if result.get("reason", "exit_code") != "exit_code" else ""
        head = f"exit code {result['exitCode']}{why} after {took}"
    else:
        cause = result.get("signal") or result.get("error") or ""
        head = f"{result['status']} ({result.get('reason', '')}{', ' if cause else ''}{cause})"
        head += f" after {took}"
    head += _left(result)
    if left := result.get("leftovers"):
        head += "; start what is to stay with console_execute_async" * left[0]["ended"]
    if result["omittedBytes"]:
        head += (
            f"; the first {human_bytes(result['omittedBytes'])} of the output are not shown"
            f" (console_get_job_output {result['jobId']})"
        )
    return head + excerpt(result["output"])


def status(result: JobResult) -> str:
    """Tell how a job stands."""
    job = result["job"]
    size = human_bytes(job["output"]["bytes"])
    far = f"; {progress(job['progress'])}" if "progress" in job else ""
    lines = [f"{job_line(job)}; {size} of output{far}", *job.get("logs", [])]
    return "\n".join(lines)


def progress(view: ProgressView) -> str:
    """Say how far a job is."""
    of = f" of {view['total']:g}" if "total" in view else ""
    about = f": {view['message']}" if "message" in view else ""
    return f"{view['done']:g}{of}{about}"


def output(result: OutputResult) -> str:
    """Tell what a page holds."""
    chunks = result["output"]
    more = "more is there" if result["hasMore"] else f"all so far, it is still {result['status']}"
    head = f"{counted(len(chunks), 'chunk')}; {more}; go on with since={result['nextSince']}"
    if not result["hasMore"] and result["status"] not in ("pending", "running"):
        kept = " that was kept" if "asOf" in result else ""
        head = f"{counted(len(chunks), 'chunk')}; that is all{kept}, the job is over"
    first = result["firstAvailableSequence"]
    if result["droppedBytes"]:
        dropped = human_bytes(result["droppedBytes"])
        head += f". {dropped} were dropped; the oldest chunk kept is {first}"
    if "asOf" in result:
        head += f". Its worker cannot be reached; this is what it had told at {result['asOf']}"
    return head + (excerpt(joined(chunks)) if chunks else "")


def cancelled(result: CancelResult) -> str:
    """Tell what became of a cancellation."""
    return result["message"]


def listed(result: ListResult) -> str:
    """Tell of a page of jobs."""
    lines = [job_line(job) for job in result["jobs"]]
    more = f" More with cursor={result['nextCursor']}." if "nextCursor" in result else ""
    return "\n".join([f"{len(lines)} of {result['total']} jobs, newest first.{more}", *lines])


def metrics(result: MetricsResult) -> str:
    """Tell the figures that matter first."""
    figures = result["metrics"]
    slots = figures["concurrency"]
    return (
        f"{slots['current']} of {slots['maximum']} slots in use, {figures['pendingJobs']} pending,"
        f" {figures['totalJobs']} jobs in all ({figures['completedJobs']} completed,"
        f" {figures['failedJobs']} failed, {figures['cancelledJobs']} cancelled,"
        f" {figures['interruptedJobs']} interrupted)"
    )


def cleaned(result: CleanupResult) -> str:
    """Tell what was removed."""
    return f"{counted(result['cleaned'], 'finished job')} removed, {result['remaining']} left"


def waited(result: WaitResult) -> str:
    """Tell which jobs are over."""
    lines = [job_line(job) for job in result["jobs"]]
    if result["unfinished"]:
        lines.append(f"{len(result['unfinished'])} not over yet; call again to go on waiting.")
    return "\n".join(lines)


def fed(result: InputResult) -> str:
    """Tell how much was taken."""
    return f"{result['bytesAccepted']} bytes accepted by {result['jobId']}"
