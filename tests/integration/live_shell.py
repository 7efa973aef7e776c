"""A real shell on a real terminal, driven by marks alone, as a session would."""

import os
import select
import shutil
import signal
import tempfile
from collections.abc import Mapping
from pathlib import Path
from secrets import token_hex
from typing import Any

from ptyprocess import PtyProcess

from console_automation.core.marks import Mark, MarkKind, find_marks
from console_automation.core.shell_start import integrated
from console_automation.core.shells import ShellKind, typed
from tests.waiting import until_now

SCRIPTS = Path(__file__).parents[2] / "console_automation" / "shells"
PROGRAMS = {"bash": "bash", "zsh": "zsh", "sh": "dash", "fish": "fish"}
HERE = tuple(kind for kind, program in PROGRAMS.items() if shutil.which(program))


def completed(data: Path) -> None:
    """Make a data directory in which fish finds its completions: it would go through every manual
    page of the machine for them, at its first start, for half a minute of a processor."""
    (data / "fish" / "generated_completions").mkdir(parents=True)


def hear_signals() -> None:
    """Undo what tests that run in the background of some script would hand down: an ignored ctrl+c."""
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


class LiveShell:
    """Types commands into a shell with a home of its own, and reads what its terminal gets."""

    def __init__(
        self,
        kind: str,
        *arguments: str,
        files: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
        argv: tuple[str, ...] | None = None,
    ) -> None:
        self.kind = ShellKind(kind)
        self.home = Path(tempfile.mkdtemp(prefix="ca-", dir="/tmp"))
        self.report = self.home / "report"
        for name, text in (files or {}).items():
            (self.home / name).parent.mkdir(parents=True, exist_ok=True)
            (self.home / name).write_text(text)
        completed(self.home / "data")
        asked = {
            "HOME": str(self.home),
            "XDG_DATA_HOME": str(self.home / "data"),
            "PATH": os.environ["PATH"],
            "TERM": "xterm",
            "LANG": "C.UTF-8",
            "CONSOLE_AUTOMATION_REPORT": str(self.report),
            **(environment or {}),
        }
        start = argv, asked
        if argv is None:
            start = integrated(self.kind, (PROGRAMS[kind], *arguments), asked, str(SCRIPTS))
        self.process = PtyProcess.spawn(
            list(start[0] or ()),
            cwd=str(self.home),
            env=start[1],
            preexec_fn=hear_signals,
        )
        self.received = b""
        self.over = False

    def __enter__(self) -> "LiveShell":
        self.wait(MarkKind.PROMPT)
        return self

    def __exit__(self, *_: Any) -> None:
        self.process.close(force=True)
        shutil.rmtree(self.home, ignore_errors=True)

    def read(self) -> bool:
        """Take what is there, waiting a moment for it; False when there will be no more."""
        if not self.over and select.select([self.process.fd], [], [], 0.02)[0]:
            try:
                data = os.read(self.process.fd, 65536)
            except OSError:
                data = b""
            self.over = not data
            self.received += data
        return not self.over

    def press(self, keys: bytes) -> None:
        """Type, reading along: a terminal that nobody reads takes nothing."""
        while keys:
            ready = select.select([self.process.fd], [self.process.fd], [], 0.02)
            if ready[0]:
                self.read()
            if ready[1]:
                keys = keys[os.write(self.process.fd, keys[:512]) :]

    def marks(self, kind: MarkKind, command_id: str | None = None, after: int = 0) -> list[Mark]:
        found = find_marks(self.received)
        return [
            m for m in found if (m.kind, m.command_id) == (kind, command_id) and m.start >= after
        ]

    def wait(self, kind: MarkKind, command_id: str | None = None, after: int = 0) -> Mark:
        def arrived() -> list[Mark]:
            alive = self.read()
            found = self.marks(kind, command_id, after)
            assert found or alive, self.received[-2000:]
            return found

        return until_now(arrived, f"{kind.name} in {self.received[-2000:]!r}")[0]

    def start(self, command: str, *, bracketed: bool = False) -> str:
        """Type the command and return its id once it has begun."""
        command_id = token_hex(8)
        self.press(typed(self.kind, command, command_id, bracketed=bracketed).encode("ascii"))
        self.wait(MarkKind.BEGIN, command_id)
        return command_id

    def end(self, command_id: str) -> tuple[int | None, str]:
        """Wait for the end and the next prompt; return the exit code and the output between the marks."""
        end = self.wait(MarkKind.END, command_id)
        self.wait(MarkKind.PROMPT, after=end.end)
        assert len(self.marks(MarkKind.END, command_id)) == 1
        (begin,) = self.marks(MarkKind.BEGIN, command_id)
        output = self.received[begin.end : end.start].replace(b"\r\n", b"\n")
        return end.exit_code, output.decode()

    def run(self, command: str, *, bracketed: bool = False) -> tuple[int | None, str]:
        return self.end(self.start(command, bracketed=bracketed))

    def interrupt(self) -> tuple[str, tuple[int | None, str]]:
        """Press ctrl+c once a command runs: a shell that is just about to start one misses it."""
        command_id = self.start("sh -c 'echo up; exec sleep 600'; echo not this")
        self.await_output(b"up\r\n", after=self.marks(MarkKind.BEGIN, command_id)[0].end)
        self.press(b"\x03")
        return command_id, self.end(command_id)

    def code(self, command: str) -> int | None:
        return self.run(command)[0]

    def output(self, command: str) -> str:
        return self.run(command)[1]

    def await_output(self, text: bytes, after: int = 0) -> None:
        until_now(lambda: self.read() and text in self.received[after:], repr(text))

    def gone(self) -> int | None:
        """Wait for the end of the shell itself and return its exit code."""
        until_now(lambda: not self.read(), "the end of the shell")
        self.process.wait()
        return self.process.exitstatus
