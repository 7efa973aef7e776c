"""How a command ends: the exit codes, and what is said on the way out.

the job's own   `wait`, `attach`, `session exec`, and whatever has --wait or --follow; 128 + n for signal n
0               done
1               refused, or the job failed without a code of its own
2               usage: an argument is wrong, or a name or prefix could be several jobs
3               there is no such job, session or schedule
4               the daemon cannot be reached or started, or cannot do this now
124             a wait was over before the job was
126, 127        the program may not be run, or was not found
130             Ctrl-C; the job goes on
141             nobody reads the output any more
"""

import re
import signal

from console_automation.frontends.client import Refused
from console_automation.frontends.launch import DaemonUnavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

DONE, REFUSED, USAGE, NOT_FOUND, UNAVAILABLE = 0, 1, 2, 3, 4
TIMED_OUT, NOT_EXECUTABLE, NO_PROGRAM, INTERRUPTED, NO_READER = 124, 126, 127, 130, 141

#: Exit codes for refusals; what is not here is REFUSED.
OF_REFUSAL = {
    "INVALID_ARGUMENT": USAGE,
    "WORKING_DIRECTORY_NOT_FOUND": USAGE,
    "COMMAND_NOT_FOUND": NO_PROGRAM,
    "PERMISSION_DENIED": NOT_EXECUTABLE,
    "JOB_NOT_FOUND": NOT_FOUND,
    "SESSION_NOT_FOUND": NOT_FOUND,
    "SCHEDULE_NOT_FOUND": NOT_FOUND,
    "DEFINITION_NOT_FOUND": NOT_FOUND,
    "WORKFLOW_NOT_FOUND": NOT_FOUND,
    "TIMEOUT": TIMED_OUT,
    "UNAVAILABLE": UNAVAILABLE,
}


#: What the tools say to a model, said to a person.
_SPOKEN = {
    "JOB_NOT_FOUND": "there is no such job; `job list --all` shows the jobs there are",
    "SESSION_NOT_FOUND": "there is no such session; `job session ls` shows those there are",
}
#: The tools that errors speak of, and what does the same here.
_SPOKEN_TOOLS = {
    "console_cleanup_sessions": "`job session stop`",
    "console_create_session": "`job session new`",
    "console_drain_worker": "`job workers drain`",
    "console_execute_command": "`job session exec`",
    "console_get_job_output": "`job logs`",
    "console_get_job_status": "`job status`",
    "console_get_output": "`job session logs`",
    "console_get_screen": "`job session screen`",
    "console_get_session_state": "`job session exec` without a command",
    "console_execute_job": "`job exec`",
    "console_get_job_result": "`job wait`",
    "console_list_job_definitions": "`job definitions`",
    "console_list_jobs": "`job list`",
    "console_list_schedules": "`job schedule list`",
    "console_list_sessions": "`job session ls`",
    "console_list_workers": "`job workers`",
    "console_list_workflows": "`job workflow list`",
    "console_remove_workflow": "`job workflow remove`",
    "console_send_input": "`job session send`",
    "console_send_job_input": "`job send`",
    "console_send_key": "`job session key`",
    "console_stop_session": "`job session stop`",
    "console_update_schedule": "`job schedule update`",
    "console_wait_for_output": "`job session logs -f`",
}
_TOOL = re.compile(r"\b(console_[a-z_]+)(?: waitMs)?")
_CODES = {
    USAGE: "INVALID_ARGUMENT",
    NOT_FOUND: "JOB_NOT_FOUND",
    UNAVAILABLE: "UNAVAILABLE",
    TIMED_OUT: "TIMEOUT",
}


class Failure(Exception):
    """A command cannot do what was asked; the text says why and what would be right."""

    def __init__(self, message: str, code: int = REFUSED, *, name: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.name = name or _CODES.get(code)  #: as the tools call what is wrong


def of_job(job: "Mapping[str, Any]") -> int:
    """Return the exit code that stands for a job that is over: its own, if it has one; of one on several
    workers that of the first on which it has not completed."""
    if job["status"] == "completed":
        return DONE
    if "children" in job:
        over = [child for child in job["children"] if child["status"] != "completed"]
        return next(filter(None, map(of_job, over)), REFUSED)
    if job["exitCode"]:
        return int(job["exitCode"])
    if "signal" in job:
        return 128 + _number(job["signal"])
    return NOT_EXECUTABLE if job.get("reason") == "spawn_error" else REFUSED


def of_session(session: "Mapping[str, Any]") -> int:
    """Return the exit code that stands for a session that is closed: its program's, if that is known."""
    if "signal" in session:
        return 128 + _number(session["signal"])
    return int(session.get("exitCode", REFUSED))


def _number(name: str) -> int:
    """Return a signal's number; one without a name is called SIG<n>."""
    known = getattr(signal, name, None)
    return int(name[3:]) if known is None else int(known)


def of_error(error: Exception) -> tuple[int, str]:
    """Return the exit code for an error, and what a person is told of it."""
    match error:
        case Failure():
            return error.code, str(error)
        case Refused():
            return OF_REFUSAL.get(error.code, REFUSED), _SPOKEN.get(error.code) or _spoken(error)
        case DaemonUnavailable():
            return UNAVAILABLE, str(error)
    return REFUSED, str(error)


def _spoken(error: Refused) -> str:
    if error.view["details"].get("field") == "name":
        return str(error)  # somebody has asked for a tool, and is told which there are
    return _TOOL.sub(lambda found: _SPOKEN_TOOLS.get(found[1], found[0]), str(error))


def as_view(error: Exception) -> "Mapping[str, Any]":
    """Return an error as the tools would: the daemon's own words, or ours in the same form."""
    if isinstance(error, Refused):
        return error.view
    import time

    from console_automation.core.text import iso

    code, message = of_error(error)
    details = {"timestamp": iso(time.time())}
    name = error.name if isinstance(error, Failure) else _CODES.get(code)
    return {"success": False, "error": message, "code": name or "INTERNAL", "details": details}
