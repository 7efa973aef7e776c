"""What can go wrong with a request, split by whose fault it is.

    ConsoleAutomationError
    ├── BadRequest                    INVALID_ARGUMENT    the caller's; nothing was done
    │   ├── CommandNotFound           COMMAND_NOT_FOUND
    │   ├── PermissionDenied          PERMISSION_DENIED
    │   └── WorkingDirectoryNotFound  WORKING_DIRECTORY_NOT_FOUND
    ├── JobNotFound                   JOB_NOT_FOUND
    ├── WorkflowNotFound              WORKFLOW_NOT_FOUND  or a run of one
    ├── SessionNotFound               SESSION_NOT_FOUND
    ├── ScheduleNotFound              SCHEDULE_NOT_FOUND
    ├── DefinitionNotFound            DEFINITION_NOT_FOUND
    ├── SessionClosed                 SESSION_CLOSED
    ├── AccessDenied                  POLICY_DENIED       asked by somebody who may not
    ├── Conflict                      CONFLICT            the thing exists, its state forbids this
    ├── LimitReached                  LIMIT_REACHED
    ├── TimedOut                      TIMEOUT             what was waited for has not come
    ├── Unavailable                   UNAVAILABLE         ours; safe to repeat
    │   ├── StoreFull
    │   ├── StoreDamaged
    │   ├── StoreNewer
    │   └── StoreSwapped
    └── InvalidTransition             INTERNAL            a contradiction inside the product

A job that fails is not an error: errors are for operations that did not happen. A class's docstring
is its default message.
"""

from typing import Any, ClassVar


class ConsoleAutomationError(Exception):
    """The operation failed inside the product; the log says why."""

    code: ClassVar[str] = "INTERNAL"

    def __init__(self, message: str | None = None, **details: Any) -> None:
        self.message = message or (type(self).__doc__ or "").strip()
        self.details = details
        super().__init__(self.message)


class BadRequest(ConsoleAutomationError):
    """The request is not valid."""

    code = "INVALID_ARGUMENT"


class CommandNotFound(BadRequest):
    """No such program on the job's PATH."""

    code = "COMMAND_NOT_FOUND"


class PermissionDenied(BadRequest):
    """The program or directory may not be used by this user."""

    code = "PERMISSION_DENIED"


class WorkingDirectoryNotFound(BadRequest):
    """The working directory does not exist."""

    code = "WORKING_DIRECTORY_NOT_FOUND"


class JobNotFound(ConsoleAutomationError):
    """There is no such job."""

    code = "JOB_NOT_FOUND"

    def __init__(self, job_id: str) -> None:
        super().__init__(
            f"There is no job {job_id!r}. Call console_list_jobs to see the jobs there are.",
            jobId=job_id,
        )


class SessionNotFound(ConsoleAutomationError):
    """There is no such session."""

    code = "SESSION_NOT_FOUND"

    def __init__(self, session_id: str) -> None:
        super().__init__(
            f"There is no session {session_id!r}. Call console_list_sessions to see those there are.",
            sessionId=session_id,
        )


class ScheduleNotFound(ConsoleAutomationError):
    """There is no such schedule."""

    code = "SCHEDULE_NOT_FOUND"

    def __init__(self, reference: str) -> None:
        super().__init__(
            f"There is no schedule {reference!r}. Call console_list_schedules to see those there are.",
            scheduleId=reference,
        )


class DefinitionNotFound(ConsoleAutomationError):
    """There is no such job definition."""

    code = "DEFINITION_NOT_FOUND"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"There is no job definition {name!r}. Call console_list_job_definitions to see those there"
            " are.",
            name=name,
        )


class WorkflowNotFound(ConsoleAutomationError):
    """There is no such workflow."""

    code = "WORKFLOW_NOT_FOUND"


class SessionClosed(ConsoleAutomationError):
    """The session is closed."""

    code = "SESSION_CLOSED"


class AccessDenied(ConsoleAutomationError):
    """This principal may not do that."""

    code = "POLICY_DENIED"


class Conflict(ConsoleAutomationError):
    """The state of the job forbids this."""

    code = "CONFLICT"


class LimitReached(ConsoleAutomationError):
    """A limit of this server is reached."""

    code = "LIMIT_REACHED"


class TimedOut(ConsoleAutomationError):
    """What was waited for has not come in time."""

    code = "TIMEOUT"


class Unavailable(ConsoleAutomationError):
    """The service cannot do this now; it is safe to try again."""

    code = "UNAVAILABLE"


class StoreFull(Unavailable):
    """The disk that holds the state directory is full: nothing new is accepted until there is room."""


class StoreDamaged(Unavailable):
    """The database is damaged; it was left as it is."""


class StoreNewer(Unavailable):
    """The database was written by a newer version; it was left as it is."""


class StoreSwapped(Unavailable):
    """The database is not the one this state directory was created with; it was left as it is."""


class InvalidTransition(ConsoleAutomationError):
    """An event came that cannot happen in the job's phase."""

    def __init__(self, *, job_id: str, phase: str, event: str) -> None:
        super().__init__(f"{event} cannot happen to {job_id}, which is {phase}")


def from_code(code: str, message: str, details: dict[str, Any]) -> ConsoleAutomationError:
    """Return the error that a front end has sent as an error result."""
    for kind in _BY_CODE:
        if kind.code == code:
            error = kind.__new__(kind)
            ConsoleAutomationError.__init__(error, message, **details)
            return error
    return ConsoleAutomationError(message, **details)


_BY_CODE: tuple[type[ConsoleAutomationError], ...] = (
    BadRequest,
    CommandNotFound,
    PermissionDenied,
    WorkingDirectoryNotFound,
    JobNotFound,
    SessionNotFound,
    ScheduleNotFound,
    DefinitionNotFound,
    SessionClosed,
    WorkflowNotFound,
    AccessDenied,
    Conflict,
    LimitReached,
    TimedOut,
    Unavailable,
)
