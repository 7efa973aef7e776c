"""The messages that tell of an end."""

import json
import subprocess
from typing import Any

import pytest

from console_automation.core.job import TERMINAL, Job, Phase, Reason
from console_automation.core.messages import compose, messages_of
from console_automation.core.notify import Channel, Notify
from tests.builders import command, exit_of, job, spec

HOOK = Notify(channel=Channel.WEBHOOK, target="https://example.org/canary?t=canary")
MAIL = Notify(channel=Channel.EMAIL, target="me@example.org", on=frozenset({"failed"}))
LINE = Notify(channel=Channel.COMMAND, target="echo canary")


def over(phase: Phase = Phase.FAILED, **fields: Any) -> Job:
    what = command("/bin/canary", environment={"PATH": "/bin", "KEY": "canary"}, stdin="canary")
    wanted = spec(what, notify=(HOOK, MAIL, LINE), name="nächtlich")
    defaults: dict[str, Any] = {"spec": wanted, "completed_at": 7.0, "exit": exit_of(3)}
    return job("job-1", phase, **{**defaults, **fields})


def test_a_message_goes_to_everybody_who_wants_that_end() -> None:
    assert [each.id for each in messages_of(over())] == [
        "notification-job-1.1",
        "notification-job-1.2",
        "notification-job-1.3",
    ]
    told = messages_of(over(Phase.COMPLETED))
    assert [each.channel for each in told] == [Channel.WEBHOOK, Channel.COMMAND]


@pytest.mark.parametrize("phase", [p for p in Phase if p not in TERMINAL])
def test_of_a_job_that_is_not_over_nothing_is_told(phase: Phase) -> None:
    assert messages_of(over(phase, completed_at=None)) == ()


def test_nothing_is_told_but_what_a_listing_shows() -> None:
    hook, mail, line = messages_of(over(reason=Reason.EXIT_CODE))
    for each in (hook, mail, line):
        assert "canary" not in each.body + each.subject and each.body.isascii()
    assert hook.environment == mail.environment == {}


def test_who_is_told_is_not_in_what_is_written_to_a_log() -> None:
    assert "canary" not in repr(messages_of(over())) + repr(over().spec.notify)
    hook, mail, line = messages_of(over())
    assert [each.receiver for each in (hook, mail, line)] == [
        "https://example.org:443",
        "email",
        "command",
    ]


def test_a_line_has_the_environment_of_its_job_and_knows_how_that_ended() -> None:
    line = messages_of(over(Phase.FAILED, reason=Reason.EXIT_CODE))[2]
    assert line.environment == {
        "PATH": "/bin",
        "KEY": "canary",
        "CONSOLE_AUTOMATION_NOTIFICATION": line.body,
        "JOB_ID": "job-1",
        "JOB_NAME": "nächtlich",
        "JOB_STATUS": "failed",
        "JOB_REASON": "exit_code",
        "JOB_EXIT_CODE": "3",
    }


def test_something_else_than_a_job_may_be_told_of() -> None:
    told = compose(
        LINE,
        id="notification-run-1.1",
        kind="workflow",
        view={"id": "run-1", "status": "completed"},
        at=5.0,
        cwd="/",
        environment={},
    )
    assert json.loads(told.body) == {
        "id": "notification-run-1.1",
        "event": "workflow.completed",
        "workflow": {"id": "run-1", "status": "completed"},
    }
    assert told.environment["WORKFLOW_STATUS"] == "completed" and told.job_id is None


def test_what_is_too_long_for_a_variable_is_on_the_stdin_of_a_line_alone() -> None:
    steps = {f"step-{number}": "completed" for number in range(10_000)}
    told = compose(
        LINE,
        id="notification-run-1.1",
        kind="workflow",
        view={"id": "run-1", "status": "completed", "steps": steps},
        at=5.0,
        cwd="/",
        environment={"PATH": "/usr/bin:/bin"},
    )
    assert json.loads(told.body)["workflow"]["steps"] == steps
    assert told.environment["WORKFLOW_STATUS"] == "completed"
    done = subprocess.run(["true"], env=told.environment, check=False)  # no OSError: too long
    assert done.returncode == 0


def test_a_subject_is_one_line_whatever_the_name_is() -> None:
    named = spec(notify=(MAIL,), name="a\nBcc: you@example.org")
    [mail] = messages_of(over(spec=named))
    assert "\n" not in mail.subject
