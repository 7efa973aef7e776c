"""What clients may ask: one model per operation, checked strictly, nothing converted, nothing ignored.

The descriptions are written for a model that has never seen the product: they are the tools' input
schemas and the reference page at once. Durations are milliseconds.
"""

import math
import re
from itertools import islice
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from console_automation.core.target import parse_target
from console_automation.core.text import sanitize
from console_automation.core.webhooks import parse_webhook

_YEAR = 365 * 86_400_000
_TEXT = 1 << 20


def plain_text(text: str) -> str:
    """Return the text if a program can be given it. Raises ValueError."""
    if "\0" in text:
        raise ValueError("must not contain a NUL character")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("must not contain half of a surrogate pair") from None
    return text


def _title(text: str) -> str:
    if sanitize(plain_text(text)) != text or "\n" in text:
        raise ValueError("must be plain text on one line")
    return text


def _command(text: str) -> str:
    if not plain_text(text).strip():
        raise ValueError("must not be blank")
    return text


def _job_id(text: str) -> str:
    if not re.fullmatch(r"(cluster-)?job-[0-9a-z-]{1,60}", text):
        raise ValueError("must be the nextCursor of a page")
    return text


def _no_nul_in_names(names: dict[str, str]) -> dict[str, str]:
    for name, value in names.items():
        plain_text(name)
        plain_text(value)
    return names


def _variables(names: dict[str, str]) -> dict[str, str]:
    for name in names:
        if not name or "=" in name:
            raise ValueError(f"{name!r} is not the name of a variable")
    return _no_nul_in_names(names)


def _webhook(url: str) -> str:
    parse_webhook(url)
    return url


def _address(text: str) -> str:
    if not re.fullmatch(r"[\w.!#$%&'*+/=?^`{|}~-]{1,64}@[\w-]+(\.[\w-]+)*", text, re.ASCII):
        raise ValueError("must be one plain address, as in me@example.org")
    return text


def _target(text: str) -> str:
    return parse_target(text).text


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError("must be a finite number")
    return value


Text = Annotated[str, Field(max_length=_TEXT), AfterValidator(plain_text)]
Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_title)]
Line = Annotated[str, Field(min_length=1, max_length=_TEXT), AfterValidator(_command)]
Cursor = Annotated[str, AfterValidator(_job_id)]
Pattern = Annotated[str, Field(max_length=10_000), AfterValidator(plain_text)]
JobId = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(plain_text)]
Pairs = Annotated[dict[str, str], Field(max_length=100), AfterValidator(_no_nul_in_names)]
Variables = Annotated[dict[str, str], Field(max_length=1000), AfterValidator(_variables)]
Milliseconds = Annotated[float, Field(ge=0, le=_YEAR), AfterValidator(_finite)]
Url = Annotated[str, AfterValidator(_webhook)]
Aim = Annotated[str, Field(max_length=300), AfterValidator(_target)]
Address = Annotated[str, Field(max_length=254), AfterValidator(_address)]
Signal = Literal["SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGKILL", "SIGUSR1", "SIGUSR2"]
Cols = Annotated[int, Field(ge=2, le=500)]
Rows = Annotated[int, Field(ge=2, le=300)]
Reasons = Literal[
    "exit_code",
    "signal",
    "timeout",
    "idle_timeout",
    "spawn_error",
    "output_limit",
    "lost",
    "reboot",
]
ListedStatus = Literal[
    "active", "pending", "running", "completed", "failed", "cancelled", "interrupted"
]
FinishedStatus = Literal["completed", "failed", "cancelled", "interrupted"]


class Request(BaseModel):
    """The base of all requests."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, alias_generator=to_camel, allow_inf_nan=False
    )

    @model_validator(mode="before")
    @classmethod
    def _without_crowd(cls, given: object) -> object:
        """Of more fields than there are, keep enough to see that one is unknown: to list a million
        complaints takes seconds."""
        most = len(cls.model_fields)
        if isinstance(given, dict) and len(given) > most:
            return dict(islice(given.items(), most + 1))
        return given


class Retry(Request):
    """When and how to repeat a failed attempt."""

    max_attempts: int = Field(3, ge=1, le=100)
    backoff_ms: Milliseconds = 1000
    backoff_multiplier: float = Field(2.0, ge=1, le=100)
    max_backoff_ms: Milliseconds = 60_000
    jitter: float = Field(0.0, ge=0, le=1)
    on: list[Reasons] | None = Field(
        None, description="Default: exit_code, signal, timeout, idle_timeout."
    )


class Notify(Request):
    """Somebody who is told of its end, in one of three ways."""

    webhook: Url | None = None
    email: Address | None = None
    command: Line | None = None
    on: list[FinishedStatus] | None = Field(None, min_length=1)

    @model_validator(mode="after")
    def _one_way(self) -> "Notify":
        if [self.webhook, self.email, self.command].count(None) != 2:
            raise ValueError("must have one of webhook, email and command")
        return self


class RunOptions(Request):
    """Options of everything that runs a command."""

    working_directory: Text | None = Field(None, description="Absolute. Default: the client's.")
    environment: Variables = Field(
        default_factory=dict, description="Added to the client's PATH, HOME, LANG, ..."
    )
    shell: bool | None = Field(
        None, description="Force a shell, or none. Default: a shell unless command is one word."
    )
    stdin: Text | None = Field(None, description="Text to feed; else stdin is at its end.")


class Terminal(Request):
    """A terminal of this size."""

    cols: Cols = 120
    rows: Rows = 32


class JobOptions(RunOptions):
    """Options of whatever becomes a job."""

    timeout: Milliseconds | None = Field(
        None, description="ms until the job is ended. Default 300000; 0: never."
    )
    idle_timeout: Annotated[float, Field(ge=1, le=_YEAR), AfterValidator(_finite)] | None = Field(
        None, description="ms of silence until it is ended."
    )
    priority: int = Field(5, ge=1, le=10, description="1 to 10; higher runs first.")
    tags: Pairs = Field(default_factory=dict)
    merge_stderr: bool = False
    output_limit_bytes: int | None = Field(
        None, ge=65_536, le=1 << 40, description="Output kept on disk."
    )
    on_output_limit: Literal["drop_oldest", "drop_newest", "kill"] = "drop_oldest"
    leftovers: Literal["end", "leave"] = Field(
        "end", description="What becomes of processes that outlive the command."
    )
    retry: Retry | None = None
    notify: list[Notify] = Field(
        default_factory=list,
        max_length=20,
        description="Tell of its end: {webhook: URL}, {email: ...} or {command: line}, on: [statuses].",
    )
    target: Aim | None = Field(
        None, description="In the cluster: _any, _all, a host, group:web.dev."
    )


class ExecuteOptions(JobOptions):
    """Options of a background job."""

    name: Name | None = None
    session_id: Name | None = Field(None, description="Groups jobs; each group has its own cap.")
    keep_stdin: bool = Field(False, description="Keep stdin open for console_send_job_input.")
    idempotency_key: Name | None = Field(
        None, description="The same key and request again return the first job."
    )
    depends_on: list[JobId] = Field(
        default_factory=list,
        max_length=100,
        description="Jobs that must complete before it starts.",
    )
    even_if_failed: bool = Field(False, description="Start it however those ended.")
    terminal: Terminal | None = Field(None, description="Run it on a terminal, not on pipes.")
    wait_ms: Milliseconds = Field(0, description="Wait this long for its end.")


class ExecuteAsync(Request):
    """Start a background job."""

    command: Line = Field(description="A shell line; or, with args, one program (no shell).")
    args: list[Text] | None = Field(
        None, max_length=10_000, description="Passed literally, no shell."
    )
    options: ExecuteOptions = Field(
        default_factory=ExecuteOptions,
        description="Also shell, stdin, environment as for console_execute_command.",
    )


class CommandOptions(RunOptions):
    """Options of a foreground command."""

    timeout: Milliseconds | None = Field(
        None,
        description="ms to wait for the end (default and limit 45000); then it goes on as a job.",
    )
    kill_on_timeout: bool = Field(False, description="End it after timeout instead.")


class ExecuteCommand(Request):
    """Run a command and wait for it."""

    session_id: JobId | None = Field(None, description="Type it into this session's shell.")
    command: Line = Field(description="A shell line; or, with args, one program (no shell).")
    args: list[Text] | None = Field(
        None, max_length=10_000, description="Passed literally, no shell."
    )
    options: CommandOptions = Field(default_factory=CommandOptions)


class GetJobStatus(Request):
    """Ask for a job."""

    job_id: JobId
    wait_ms: Milliseconds = Field(0, description="Wait this long for its end (45000 at most).")


class OutputOptions(Request):
    """Which part of the output."""

    since: int = Field(0, ge=0, le=1 << 62, description="nextSince of the page before. 0: start.")
    latest: bool = Field(False, description="The newest page instead.")
    tail: int | None = Field(None, ge=1, le=100_000, description="Only the last lines.")
    stream: Literal["stdout", "stderr"] | None = None
    grep: Pattern | None = Field(None, description="RE2 pattern; matching lines only.")
    ignore_case: bool = False
    invert: bool = False
    context: int = Field(0, ge=0, le=1_000, description="Lines around each match.")
    limit: int | None = Field(None, ge=1, le=1_000_000, description="Chunks at most.")
    max_bytes: int | None = Field(None, ge=1, le=64 << 20, description="Default 16384.")
    wait_ms: Milliseconds = Field(0, description="Wait this long for new output.")
    raw: bool = Field(False, description="Bytes as base64, nothing stripped.")


class GetJobOutput(Request):
    """Read a job's output."""

    job_id: JobId
    options: OutputOptions = Field(default_factory=OutputOptions)


class CancelJob(Request):
    """End a job."""

    job_id: JobId
    signal: Signal = "SIGTERM"
    grace_ms: Milliseconds | None = Field(
        None, description="ms until whatever is left is killed. Default 5000."
    )


class ListOptions(Request):
    """Which jobs."""

    status: ListedStatus | None = Field(None, description="active: pending or running.")
    cluster: Literal["jobs", "dead_letters"] | None = None
    session_id: Name | None = None
    name: Name | None = None
    tags: Pairs = Field(default_factory=dict)
    project: Text | None = Field(None, description="A directory: jobs of its git root.")
    ref: Name | None = Field(None, description="An id, its beginning, or a name.")
    limit: int = Field(50, ge=1, le=1_000)
    cursor: Cursor | None = Field(None, description="nextCursor of the page before.")


class ListJobs(Request):
    """List jobs."""

    options: ListOptions = Field(default_factory=ListOptions)


class GetJobMetrics(Request):
    """Ask for the figures."""


class CleanupOptions(Request):
    """What to remove."""

    max_age: Milliseconds | None = Field(
        None, description="ms since their end. Default: 24 h; 0: all."
    )
    keep_count: int = Field(0, ge=0, le=1 << 31, description="Spare this many of the newest.")
    statuses: list[FinishedStatus] | None = Field(None, min_length=1)
    project: Text | None = Field(None, description="Only of this directory's project.")


class CleanupJobs(Request):
    """Remove finished jobs."""

    options: CleanupOptions = Field(default_factory=CleanupOptions)


class WaitForJobs(Request):
    """Wait for jobs."""

    job_ids: list[JobId] = Field(min_length=1, max_length=1_000)
    mode: Literal["any", "all"] = "all"
    timeout: Milliseconds | None = Field(None, description="ms; default and limit 45000.")


class RetryJob(Request):
    """Run a finished job again."""

    job_id: JobId


class SendJobInput(Request):
    """Feed a running job."""

    job_id: JobId
    input: Text = Field(description="Written as it is; end lines with \\n.")
    eof: bool = Field(False, description="Close stdin after it.")
