"""The carrier: the program of a job of this machine that is carried out in the cluster.

It reads what is to be asked from stdin, asks it under a key of its run's own, passes on output and result,
and ends as the job ended: with its exit code, or by its signal. Told to end, it has the job cancelled. What
a carrier of an earlier attempt has left, because it was killed, is ended first. What became of a job whose
worker is lost is not known: then it says so and exits with 75. No later attempt runs it again, whatever is
done about such a job is the cluster's decision; should its end be known by then, that is the attempt's.
"""

import json
import os
import signal
import sys
import time
from binascii import a2b_base64
from typing import Any

from console_automation import paths
from console_automation.core.access import LOCAL
from console_automation.core.cluster_names import CARRIED_KEYS, id_for
from console_automation.core.job import Reason
from console_automation.core.text import signal_name
from console_automation.frontends.client import Client, Refused
from console_automation.frontends.launch import DaemonUnavailable

_NOT_KNOWN = 75  # EX_TEMPFAIL
_REFUSED = 70  # EX_SOFTWARE
_TIMED_OUT = 124  # as timeout(1) has it
_WAIT_MS = 2_000
_PAUSE_SECONDS = 1.0
_LIVE = ("pending", "running")


class _ToldToEnd(Exception):
    """SIGTERM has come."""


def main() -> int:
    """Carry out what stdin asks for; returns the exit code."""
    request = json.load(sys.stdin)
    arguments = request["arguments"]
    run = os.environ["CONSOLE_AUTOMATION_RUN"]
    key = _key_of(run)
    if request["operation"] == "console_execute_async":
        options = arguments["options"]
        environment = {**options.get("environment", {}), **_of_the_schedule()}
        options = {**options, "environment": environment, "idempotencyKey": key}
        arguments = {**arguments, "options": options}
    else:
        arguments = {**arguments, "idempotencyKey": key}
    carrier = _Carrier(request["operation"], arguments, former=_before(run))
    signal.signal(signal.SIGTERM, _told_to_end)
    try:
        try:
            over = carrier.seen_through()
        except _ToldToEnd:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            if not carrier.cancel():
                _die_of(signal.SIGTERM)
            over = carrier.seen_through()
        return _end_as(over)
    except Refused as error:
        sys.stderr.write(f"{error.code}: {error}\n")
        return _REFUSED


def _of_the_schedule() -> dict[str, str]:
    """Return what a run is told of its schedule, if it is that of one."""
    names = ("CONSOLE_AUTOMATION_SCHEDULE", "CONSOLE_AUTOMATION_METADATA")
    return {name: os.environ[name] for name in names if name in os.environ}


def _key_of(run: str) -> str:
    return CARRIED_KEYS + run


def _before(run: str) -> list[str]:
    """Return the ids that the jobs of earlier attempts have, if they were made."""
    job_id, _, attempt = run.rpartition(".")
    runs = (f"{job_id}.{number}" for number in range(1, int(attempt)))
    return [id_for(_key_of(run), LOCAL.name) for run in runs]


def _told_to_end(number: int, frame: object) -> None:
    raise _ToldToEnd


class _Carrier:
    """One job of the cluster."""

    def __init__(self, operation: str, arguments: dict[str, Any], *, former: list[str]) -> None:
        self._client = Client(paths.home())
        self._operation = operation
        self._arguments = arguments
        self._former = former
        self._known = ""  #: its id: whatever becomes of its definition, it can be cancelled
        self._has_asked = False  #: for it: it may have been made, though no answer has said so
        self._since = 0
        self._told: Any = None  #: the progress that was passed on last

    def _call(self, operation: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Call until it is answered: neither daemon nor cluster need be there all the time."""
        while True:
            try:
                return self._client.call(operation, arguments)
            except DaemonUnavailable:
                pass
            except Refused as error:
                if error.code != "UNAVAILABLE":
                    raise
            time.sleep(_PAUSE_SECONDS)

    def _job_id(self) -> str:
        """Return the id of the job, which is made if it is not there yet."""
        if not self._known:
            self._end_former()
        if not self._known:
            self._has_asked = True
            self._known = str(self._call(self._operation, self._arguments)["jobId"])
        return self._known

    def _end_former(self) -> None:
        """End what earlier attempts have left; take up one that has completed, or of which nobody knows
        what it did."""
        while self._former and not self._known:
            job_id = self._former[-1]
            try:
                if self._status(job_id, 0)["status"] in _LIVE:
                    self._call("console_cancel_job", {"jobId": job_id})
                while (status := self._status(job_id, 45_000)["status"]) in _LIVE:
                    pass
                if status in ("completed", "interrupted"):
                    self._known = job_id
            except Refused as error:
                if error.code != "JOB_NOT_FOUND":
                    raise
            self._former.pop()

    def seen_through(self) -> dict[str, Any]:
        """Pass on what the job prints and tells until it is over; return it."""
        job_id = self._job_id()
        job = self._status(job_id, 0)
        while "children" not in job and self._page(job_id):
            if "CONSOLE_AUTOMATION_PROGRESS" in os.environ:
                self._pass_on_progress(self._status(job_id, 0))
        while (job := self._status(job_id, 45_000))["status"] in _LIVE:
            pass
        if "CONSOLE_AUTOMATION_RESULT" in os.environ and "children" not in job:
            self._pass_on_progress(job)
            self._pass_on_result(job_id)
        return job

    def _status(self, job_id: str, wait: int) -> dict[str, Any]:
        job: dict[str, Any] = self._call(
            "console_get_job_status", {"jobId": job_id, "waitMs": wait}
        )["job"]
        return job

    def _page(self, job_id: str) -> bool:
        """Print a page of output; returns whether there may be more."""
        options = {"since": self._since, "raw": True, "waitMs": _WAIT_MS}
        try:
            page = self._client.call(
                "console_get_job_output", {"jobId": job_id, "options": options}
            )
        except (DaemonUnavailable, Refused) as error:
            if isinstance(error, Refused) and error.code != "UNAVAILABLE":
                raise
            time.sleep(_PAUSE_SECONDS)
            return self._status(job_id, 0)["status"] in _LIVE
        for chunk in page["output"]:
            stream = sys.stdout if chunk["type"] == "stdout" else sys.stderr
            stream.buffer.write(a2b_base64(chunk["content"]))
            stream.buffer.flush()
        self._since = page["nextSince"]
        return page["hasMore"] or page["status"] in _LIVE

    def _pass_on_progress(self, job: dict[str, Any]) -> None:
        told = job.get("progress")
        if told is not None and told != self._told:
            self._told = told
            with open(os.environ["CONSOLE_AUTOMATION_PROGRESS"], "a", encoding="utf-8") as file:
                file.write(json.dumps(told) + "\n")

    def _pass_on_result(self, job_id: str) -> None:
        found = self._call("console_get_job_result", {"jobId": job_id})
        with open(os.environ["CONSOLE_AUTOMATION_RESULT"], "w", encoding="utf-8") as file:
            if "result" in found:
                json.dump(found["result"], file)
            elif found.get("reason") == Reason.RESULT:  # no JSON here either
                file.write(found["error"])
            elif "error" in found:
                sys.stderr.write(f"{job_id}: {found['error']}\n")

    def cancel(self) -> bool:
        """Ask for the job's end, over a line on which no other answer is still to come; False when there
        is none yet, and what was left by others has ended."""
        self._client.close()
        self._end_former()
        if not (self._has_asked or self._known):
            return False
        self._call("console_cancel_job", {"jobId": self._job_id()})
        return True


def _end_as(job: dict[str, Any]) -> int:
    """End as a job did: by its signal, or with the returned exit code."""
    for child in job.get("children", ()):
        error = f": {child['error']}" if "error" in child else ""
        sys.stderr.write(f"{child['host']} {child['status']}{error} ({child['jobId']})\n")
    status, reason = job["status"], job.get("reason")
    if "error" in job:
        sys.stderr.write(f"{job['id']}: {job['error']}\n")
    if status == "interrupted":
        return _NOT_KNOWN
    if status == "cancelled":
        _die_of(signal.SIGTERM)
    if reason in ("timeout", "idle_timeout"):
        return _TIMED_OUT
    if "signal" in job and reason == "signal":
        _die_of(next(n for n in range(1, signal.NSIG) if signal_name(n) == job["signal"]))
    if reason == Reason.RESULT:
        return 0  # what it has left for a result fails here for the same reason
    code = int(job.get("exitCode") or 0)
    # What exits with 0 may have failed: it has printed too much.
    return code or int(status != "completed")


def _die_of(number: int) -> None:
    sys.stdout.flush()
    if number != signal.SIGKILL:
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


if __name__ == "__main__":
    sys.exit(main())
