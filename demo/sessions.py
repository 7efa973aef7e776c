"""A tour of console sessions: bash, python and vim driven through a real MCP client.

The same rules as in demo.py: what is said to be true has been checked, and nothing is left behind.
"""

import os
import shutil
import signal
import sys
from typing import Any

from wcwidth import wcswidth

from demo import CYAN, RED, Tour, check, connects, eventually, is_alive, main, paint, say, show


async def opened(tour: Tour, *command: str, **options: Any) -> str:
    """Open a session that no rc file of this user's has a hand in, and return its id."""
    program: dict[str, Any] = {"command": command[0], "args": list(command[1:])}
    environment = {"HOME": str(tour.home), "PS1": "$ ", "LC_ALL": "C.UTF-8"}
    created = await tour.ask(
        "console_create_session",
        **program,
        options={"environment": environment, "cwd": str(tour.home), "rows": 12, **options},
    )
    return str(created["sessionId"])


async def screen(tour: Tour, session: str) -> str:
    """Show a session's screen as a person would see it."""
    seen = await tour.ask("console_get_screen", sessionId=session)
    lines = str(seen["screen"]).split("\n")
    width = max(60, *map(wcswidth, lines))
    say("     " + paint("┌" + "─" * width + "┐", CYAN))
    for line in lines:
        blank = " " * (width - wcswidth(line))
        say("     " + paint("│", CYAN) + line + blank + paint("│", CYAN))
    say("     " + paint("└" + "─" * width + "┘", CYAN))
    return str(seen["screen"])


async def executes(tour: Tour, session: str, command: str) -> dict[str, Any]:
    """Execute a command in a session's shell and show what came of it."""
    done = await tour.ask("console_execute_command", sessionId=session, command=command)
    output = str(done["output"]).strip().replace("\n", " | ")
    show(f"{command!r:<42} exit code {done['exitCode']}: {output}")
    return done


async def drives_bash(tour: Tour) -> None:
    """bash: commands in one shell, with their own output and true exit codes"""
    session = await opened(tour, "bash")
    await executes(tour, session, "mkdir -p work && cd work && answer=42")
    kept = await executes(tour, session, "echo $answer in ${PWD##*/}")
    check("directory and variables are kept", kept["output"] == "42 in work\n")
    failed = await executes(
        tour, session, "printf '94%% db-# '; exit_with() { return 3; }; exit_with"
    )
    check("what looks like a prompt is output, 3 is the code", failed["output"] == "94% db-# ")
    check("and it is known to be 3", failed["exitCode"] == 3)
    broken = await executes(tour, session, "echo 'never closed")
    check("an unterminated quote is an error, not a trap", broken["exitCode"] not in (0, None))
    await tour.ask("console_stop_session", sessionId=session)


async def drives_python(tour: Tour) -> None:
    """python: a REPL, by input and patterns"""
    session = await opened(tour, sys.executable, "-q")
    await tour.ask("console_wait_for_output", sessionId=session, pattern=r"^>>> $", since=0)
    await tour.ask("console_send_input", sessionId=session, input="sum(range(101))", enter=True)
    found = await tour.ask("console_wait_for_output", sessionId=session, pattern=r"^(\d+)$")
    show(f"sum(range(101)) -> {found['match']}")
    check("python answers", found["match"] == "5050")
    await tour.ask("console_send_input", sessionId=session, input="raise SystemExit(7)", enter=True)
    ended = await eventually_closed(tour, session)
    check("its session tells the exit code, 7", ended.get("exitCode") == 7)


async def eventually_closed(tour: Tour, session: str) -> dict[str, Any]:
    while True:
        state = await tour.ask("console_get_session_state", sessionId=session)
        if state["state"] == "closed":
            return dict(state["session"])


async def drives_vim(tour: Tour) -> None:
    """vim: a full screen, and kill -9 of the daemon in the middle of an insertion"""
    if shutil.which("vim") is None:
        say("     vim is not installed here; this step is left out")
        return
    poem = tour.home / "poem.txt"
    session = await opened(tour, "vim", "-u", "NONE", "-N", str(poem))
    await tour.ask("console_wait_for_output", sessionId=session, pattern="poem", since=0)
    await tour.ask("console_send_input", sessionId=session, input="iThe daemon dies,")
    await tour.ask("console_send_key", sessionId=session, key="enter")
    victim = tour.daemon()["pid"]
    os.kill(victim, signal.SIGKILL)
    say("     " + paint(f"kill -9 {victim}", RED))
    check("that daemon is gone", await eventually(lambda: not is_alive(victim)))
    text = "the editor does not notice: 日本語"
    await tour.ask("console_send_input", sessionId=session, input=text)
    await tour.ask("console_wait_for_output", sessionId=session, pattern="日本語", since=0)
    seen = await screen(tour, session)
    check("vim is still there, with both lines", "The daemon dies," in seen and text in seen)
    await tour.ask("console_send_key", sessionId=session, key="escape")
    await tour.ask("console_send_input", sessionId=session, input=":wq", enter=True)
    ended = await eventually_closed(tour, session)
    check("it wrote its file and ended with 0", poem.read_text("utf-8").endswith(text + "\n"))
    check("and the exit code is known", ended.get("exitCode") == 0)


if __name__ == "__main__":
    sys.exit(
        main(
            "console sessions: terminals that outlive their client",
            (connects, drives_bash, drives_python, drives_vim),
        )
    )
