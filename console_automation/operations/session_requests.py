"""What clients may ask of sessions: one model per operation, as strict as those of the jobs."""

from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from console_automation.core.shells import ShellKind
from console_automation.core.ssh import KnownHosts
from console_automation.operations.requests import (
    Cols,
    Line,
    Milliseconds,
    Name,
    OutputOptions,
    Pattern,
    Request,
    Rows,
    Text,
    Variables,
    plain_text,
)

SessionId = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(plain_text)]
Key = Annotated[str, Field(max_length=40), AfterValidator(plain_text)]


class Ssh(Request):
    """Where an ssh session is to be."""

    host: Text
    port: int | None = Field(None, ge=1, le=65_535)
    user: Text | None = None
    identity_file: Text | None = None
    jump_host: Text | None = Field(None, description="[user@]host[:port], comma-separated.")
    known_hosts_policy: KnownHosts = Field(KnownHosts.ACCEPT_NEW, strict=False)
    known_hosts_file: Text | None = None
    connect_timeout: Milliseconds = 15_000


class SessionOptions(Request):
    """How a session is opened."""

    name: Name | None = None
    cwd: Text | None = Field(None, description="Absolute. Default: the client's.")
    environment: Variables = Field(default_factory=dict)
    cols: Cols = 120
    rows: Rows = 32
    shell: ShellKind | None = Field(
        None, strict=False, description="Kind of shell, when the name does not tell."
    )
    ssh: Ssh | None = Field(
        None, description="Open it on another machine. Passwords: answer ssh's prompt by input."
    )


class CreateSession(Request):
    """Open a session."""

    command: Line | None = Field(None, description="Program to run. Default: the user's shell.")
    args: list[Text] | None = Field(None, max_length=10_000)
    options: SessionOptions = Field(default_factory=SessionOptions)

    @model_validator(mode="after")
    def _args_need_a_command(self) -> "CreateSession":
        if self.args and self.command is None:
            raise ValueError("args need a command")
        return self


class SendInput(Request):
    """Type text."""

    session_id: SessionId
    input: Text
    enter: bool = Field(False, description="Press Enter after it.")


class SendKey(Request):
    """Press a key."""

    session_id: SessionId
    key: Key = Field(
        description="enter, tab, up, down, left, right, escape, backspace, delete, home, end,"
        " pageup, pagedown, f1-f12, ctrl+c, alt+x, shift+tab, ...",
    )


class GetSessionOutput(Request):
    """Read a session's output."""

    session_id: SessionId
    options: OutputOptions = Field(default_factory=OutputOptions)


class WaitForOutput(Request):
    """Wait for a pattern."""

    session_id: SessionId
    pattern: Pattern = Field(min_length=1, description="RE2; ^ and $ match at line ends.")
    timeout: Milliseconds | None = Field(None, description="ms; default and limit 45000.")
    since: int | None = Field(
        None,
        ge=0,
        le=1 << 62,
        description="Search what came after this chunk. Default: after your last input's echo.",
    )
    ignore_case: bool = False


class OfSession(Request):
    """Ask for a session."""

    session_id: SessionId


class ResizeSession(Request):
    """Change the terminal's size."""

    session_id: SessionId
    cols: Cols
    rows: Rows


class ListSessions(Request):
    """List sessions."""

    closed: bool = Field(True, description="Closed ones too.")
    limit: int = Field(50, ge=1, le=1_000)


class GetSessionState(Request):
    """Ask how a session stands."""

    session_id: SessionId
    wait_ms: Milliseconds = Field(0, description="Wait this long for the running command's end.")


class GetCommandHistory(Request):
    """Ask what was executed."""

    session_id: SessionId
    limit: int = Field(20, ge=1, le=1_000)


class StopSession(Request):
    """Close a session."""

    session_id: SessionId
    force: bool = Field(False, description="SIGKILL at once.")


class SessionCleanupOptions(Request):
    """Which sessions go."""

    older_than: Milliseconds = Field(0, description="ms since they were closed.")
    inactive: Milliseconds | None = Field(None, description="ms without output.")


class CleanupSessions(Request):
    """Forget closed sessions."""

    options: SessionCleanupOptions = Field(default_factory=SessionCleanupOptions)
