"""`job schedule`: what a person types, and what a run types about its own schedule."""

import json
import os
import re
import shlex
import sys
from pathlib import Path

import pytest

from tests.integration.job_command import Shell
from tests.integration.servers import Server
from tests.waiting import until_now

NEVER = ("--cron", "0 0 29 2 *")


@pytest.fixture
def shell(server: Server, tmp_path: Path) -> Shell:
    """A shell in a project of its own, whose jobs find `job` on their PATH."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return Shell(server.home, tmp_path, PATH=path, HERE="of the caller")


def done(shell: Shell, *words: str) -> str:
    """Run a command that is expected to do what it is asked, and return what it prints."""
    result = shell.job("schedule", *words)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_a_schedule_runs_here_with_this_environment_and_can_be_watched(shell: Shell) -> None:
    made = shell.job("schedule", "create", "-n", "r", *NEVER, 'echo "$HERE, $PWD"; exit 7')
    assert made.returncode == 0
    assert made.stdout.startswith("schedule-")
    assert made.stderr == "r, version 1: cron 0 0 29 2 * in UTC; next 2028-02-29T00:00:00.000Z\n"
    run = shell.job("schedule", "trigger", "-f", "r")
    assert (run.returncode, run.stdout) == (7, f"of the caller, {shell.directory}\n")
    done(shell, "delete", "r")


def test_a_run_updates_and_stops_its_own_schedule(shell: Shell) -> None:
    poll = (
        'job schedule update "$CONSOLE_AUTOMATION_SCHEDULE" --metadata seen=true --metadata'
        ' "was=$CONSOLE_AUTOMATION_METADATA"; job schedule deactivate "$CONSOLE_AUTOMATION_SCHEDULE"'
    )
    done(shell, "create", "-n", "poll", "--every", "1s", "--metadata", "word=a b", poll)

    def stopped() -> dict[str, object] | None:
        view = shell.json("schedule", "show", "poll")
        ended = view["history"] and "endedAt" in view["history"][0]
        return view if ended and not view["schedule"]["active"] else None

    view = until_now(stopped, "the end of the poller")
    assert view is not None
    assert view["schedule"]["metadata"] == {"word": "a b", "seen": True, "was": {"word": "a b"}}
    assert [each["status"] for each in view["history"]] == ["completed"]


def test_what_is_listed_and_shown_is_what_there_is_to_know(shell: Shell) -> None:
    assert "no schedules here" in shell.job("schedule").stderr
    done(shell, "create", "-n", "one", *NEVER, "--tz", "Asia/Tokyo", "--retry", "3", "echo", "a b")
    done(shell, "create", "-n", "two", "--every", "90m", "--inactive", "true")
    rows = [re.split(r" {2,}", line) for line in done(shell, "list").splitlines()]
    names = [row[0] for row in rows]
    assert names == ["NAME", "one", "two"]
    assert "cron 0 0 29 2 * in Asia/Tokyo" in rows[1] and rows[1][-1] == "echo a b"
    assert "not active" in rows[2]
    done(shell, "update", "one", "--every", "2h", "-c", "echo c", "-t", "5s", "-n", "uno")
    shell.job("schedule", "trigger", "-w", "uno")
    shown = done(shell, "show", "uno")
    for words in ("every 2 h 0 min", "timeout    5.0 s", "attempts   3", "* version 2", "echo c"):
        assert words in shown, shown
    assert "  version 1: cron 0 0 29 2 * in Asia/Tokyo, echo a b" in shown
    done(shell, "update", "uno", "--version", "1")
    assert "* version 1" in done(shell, "show", "uno")
    assert "one" not in shell.json("schedule", "list", "--all")["schedules"][-1]["name"]
    for name in ("uno", "two"):
        assert "is gone" in done(shell, "delete", name)


def test_activating_and_deactivating_say_how_it_stands(shell: Shell) -> None:
    done(shell, "create", "-n", "s", *NEVER, "--inactive", "true")
    assert "next 2028" in shell.job("schedule", "activate", "s").stderr
    assert shell.json("schedule", "show", "s")["schedule"]["active"] is True
    assert "not active" in shell.job("schedule", "deactivate", "s").stderr
    assert shell.json("schedule", "deactivate", "s")["schedule"]["active"] is False


def test_policies_and_options_reach_the_schedule(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    words = (
        "create -n full --at 2030-01-02T03:04 --tz Europe/Berlin --missed all --overlap queue"
        " --jitter 5s -t 1h --retry 4 -d there -p 7 -e A=b --tag t=v --metadata n=[1,2] --json"
    )
    made = json.loads(done(shell, *shlex.split(words), "--", "sh", "-c", "echo $A"))["schedule"]
    assert made["trigger"] == {"at": "2030-01-02T02:04:00.000Z"}
    assert (made["missed"], made["overlap"], made["jitterMs"]) == ("all", "queue", 5000)
    assert (made["timeout"], made["maxAttempts"]) == (3_600_000, 4)
    assert (made["args"], made["metadata"]) == (["-c", "echo $A"], {"n": [1, 2]})
    assert made["workingDirectory"] == str(tmp_path / "there")
    run = shell.job("schedule", "trigger", "-f", "full")
    assert run.stdout == "b\n"
    (job,) = shell.json("list", "--all", "--tag", "schedule=full", "--tag", "t=v")["jobs"]
    assert job["priority"] == 7


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ("create -n x true", 2, "--cron"),
        ("create --every 1m true", 2, "--name"),
        ("create -n x --every 1m --cron '* * * * *' true", 2, "not allowed with"),
        ("create -n x --every soon true", 2, "'soon' is no duration"),
        ("create -n x --cron '* * *' true", 2, "3 fields"),
        ("create -n x --every 1m no-such-program", 127, "no-such-program"),
        ("update nobody --metadata x", 2, "'x' is not NAME=VALUE"),
        ("show nobody", 3, "`job schedule list`"),
        ("trigger nobody", 3, "no schedule 'nobody'"),
        ("delete nobody", 3, "nobody"),
    ],
)
def test_what_is_wrong_is_said_with_its_exit_code(
    shell: Shell, words: str, code: int, said: str
) -> None:
    result = shell.job("schedule", *shlex.split(words))
    assert result.returncode == code, result.stderr
    assert said in result.stderr and result.stderr.startswith("job")


def test_tab_completes_the_names_of_schedules(shell: Shell) -> None:
    done(shell, "create", "-n", "nightly", *NEVER, "true")
    completed = shell.job("complete", "zsh", "--", "job", "schedule", "show", "ni")
    assert completed.stdout == "nothing\nnightly\ttrue\n"
    done(shell, "delete", "nightly")
