"""Notifications: whoever asks is told of a job's end, by webhook, e-mail or a command."""

import hashlib
import hmac
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from console_automation.adapters.prometheus import Metrics
from console_automation.app import App, open_app
from console_automation.config import Settings
from console_automation.engine.notifications import Outcome
from console_automation.errors import BadRequest
from console_automation.ports.stores import Entry
from tests.conftest import CALM
from tests.integration.receivers import Hooks, Mailbox, mailbox, trusted, webhooks
from tests.waiting import until

SECRET = "a-secret-that-nobody-prints"
KNOBS: dict[str, Any] = {
    **CALM,
    "webhook_secret": SECRET,
    "webhook_allow_private": True,
    "notify_attempts": 3,
    "notify_backoff_ms": 1,
}


@pytest.fixture
def hooks() -> Iterator[Hooks]:
    with webhooks() as receiver:
        yield receiver


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mailbox]:
    with mailbox(trusted(tmp_path, monkeypatch)) as server:
        yield server


@pytest.fixture
def settings(box: Mailbox) -> Settings:
    return Settings(
        **KNOBS,
        smtp_host="localhost",
        smtp_port=box.port,
        smtp_user="me",
        smtp_password=box.password,
        smtp_from="Jobs <jobs@example.org>",
    )


async def start(app: App, line: str, *notify: dict[str, Any], **options: Any) -> str:
    return await app.start_background_job(line, shell=True, notify=list(notify), **options)


async def failure_of(app: App, job_id: str) -> Entry:
    """Return what a job's journal says of a notification that was given up."""

    async def noted() -> Entry | None:
        journal = await app.engine.jobs.ledger.store.journal(job_id)
        return next((each for each in journal if each.event == "NotificationFailed"), None)

    found = await until(noted, "the note in the journal")
    assert found is not None
    return found


async def nothing_is_left(app: App) -> bool:
    due = await app.engine.jobs.ledger.store.outbox.due(at=1e12, each=99, limit=99)
    return not due


async def test_a_webhook_says_what_has_ended_and_no_more(app: App, hooks: Hooks) -> None:
    job_id = await start(
        app,
        "echo canary-output; kill -9 $$",
        {"webhook": hooks.url("/a?b=c")},
        name="build",
        tags={"k": "v"},
        environment={"TOKEN": "canary-value"},
        working_directory="/",
    )
    await until(lambda: hooks.received, "the webhook")
    [came] = hooks.received
    assert came.path == "/a?b=c" and came.headers["Content-Type"] == "application/json"
    assert came.headers["Console-Automation-Notification"] == f"notification-{job_id}.1"
    told = came.message["job"]
    assert came.message == {
        "id": f"notification-{job_id}.1",
        "event": "job.failed",
        "job": {
            "id": job_id,
            "name": "build",
            "status": "failed",
            "reason": "signal",
            "exitCode": None,
            "signal": "SIGKILL",
            "createdAt": told["createdAt"],
            "startedAt": told["startedAt"],
            "completedAt": told["completedAt"],
            "durationMs": told["durationMs"],
            "workingDirectory": "/",
            "tags": {"k": "v"},
        },
    }
    assert b"canary" not in came.body
    await until(lambda: nothing_is_left(app), "the empty outbox")


async def test_a_webhook_is_signed_with_the_time_of_the_attempt(app: App, hooks: Hooks) -> None:
    await start(app, "true", {"webhook": hooks.url()})
    await until(lambda: hooks.received, "the webhook")
    [came] = hooks.received
    timestamp = came.headers["Console-Automation-Timestamp"]
    signed = timestamp.encode() + b"." + came.body
    proof = hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
    assert came.headers["Console-Automation-Signature"] == f"sha256={proof}"
    assert abs(app.engine.jobs.clock.now() - int(timestamp)) < 60


async def test_a_webhook_that_fails_is_repeated_under_the_same_id(app: App, hooks: Hooks) -> None:
    hooks.statuses += [500, 302]
    outcomes: list[Outcome] = []
    app.engine.notifications.listen(lambda message, outcome: outcomes.append(outcome))
    metrics = Metrics(app.engine)
    job_id = await start(app, "true", {"webhook": hooks.url()})
    await until(lambda: len(outcomes) == 3, "three attempts")
    assert hooks.ids() == [f"notification-{job_id}.1"] * 3
    assert outcomes == [Outcome.POSTPONED, Outcome.POSTPONED, Outcome.DELIVERED]
    assert {each.path for each in hooks.received} == {"/"}  # the redirect was not followed
    text = metrics.text().decode()
    name = "console_automation_notification_attempts_total"
    assert f'{name}{{channel="webhook",outcome="delivered"}} 1.0' in text
    assert f'{name}{{channel="webhook",outcome="postponed"}} 2.0' in text


async def test_a_webhook_that_keeps_failing_is_given_up_and_the_journal_says_so(
    app: App, hooks: Hooks
) -> None:
    hooks.statuses += [500, 500, 404]
    job_id = await start(app, "true", {"webhook": hooks.url("/canary-token")})
    entry = await failure_of(app, job_id)
    await until(lambda: nothing_is_left(app), "the empty outbox")
    assert len(hooks.received) == 3
    assert entry.data == {
        "id": f"notification-{job_id}.1",
        "channel": "webhook",
        "error": f"http://127.0.0.1:{hooks.port} answered with status 404",
    }


async def test_receivers_that_never_answer_hold_up_nobody_else(app: App, hooks: Hooks) -> None:
    with webhooks() as silent:
        silent.silent.add("/")
        first = await start(app, "true", *[{"webhook": silent.url()}] * 9)
        await until(lambda: len(silent.received) == 4, "as many as there are places")
        second = await start(app, "true", {"webhook": hooks.url()})
        await until(lambda: hooks.received, "the other webhook")
        assert hooks.ids() == [f"notification-{second}.1"]
        assert {each.message["job"]["id"] for each in silent.received} == {first}
        assert len(silent.received) == 4


async def test_only_the_ends_that_were_asked_for_are_told(app: App, hooks: Hooks) -> None:
    bad = {"webhook": hooks.url("/bad"), "on": ["failed", "interrupted"]}
    good = {"webhook": hooks.url("/good"), "on": ["completed"]}
    await start(app, "true", bad, good)
    await start(app, "false", bad, good)
    await until(lambda: len(hooks.received) == 2, "two webhooks")
    assert {(each.path, each.message["event"]) for each in hooks.received} == {
        ("/good", "job.completed"),
        ("/bad", "job.failed"),
    }


async def test_the_end_of_a_job_that_never_ran_is_told(app: App, hooks: Hooks) -> None:
    need = await start(app, "false")
    await app.get_background_job_status(need, wait_ms=20_000)
    stillborn = await start(app, "true", {"webhook": hooks.url()}, depends_on=[need])
    await until(lambda: hooks.received, "the webhook")
    [came] = hooks.received
    assert came.message["job"]["id"] == stillborn and came.message["job"]["reason"] == "dependency"


async def test_a_job_that_is_tried_again_is_told_of_once(app: App, hooks: Hooks) -> None:
    retry = {"maxAttempts": 3, "backoffMs": 1}
    await start(app, "false", {"webhook": hooks.url()}, retry=retry)
    await until(lambda: hooks.received, "the webhook")
    await until(lambda: nothing_is_left(app), "the empty outbox")
    assert [each.message["event"] for each in hooks.received] == ["job.failed"]


async def test_a_mail_tells_of_the_end(app: App, box: Mailbox) -> None:
    job_id = await start(app, "exit 3", {"email": "me@example.org"}, name="größe: x@y, z")
    await until(lambda: box.mails, "the mail")
    [envelope] = box.mails
    assert (envelope.mail_from, envelope.rcpt_tos) == ("jobs@example.org", ["me@example.org"])
    [mail] = box.parsed()
    assert mail["Subject"] == "job größe: x@y, z failed"
    assert (mail["From"], mail["To"]) == ("Jobs <jobs@example.org>", "me@example.org")
    assert mail["Message-ID"] == f"<notification-{job_id}.1@example.org>"
    assert mail["Console-Automation-Notification"] == f"notification-{job_id}.1"
    said = json.loads(mail.get_content().splitlines()[2])
    assert (said["event"], said["job"]["exitCode"]) == ("job.failed", 3)


async def test_a_command_tells_of_the_end(app: App, tmp_path: Path) -> None:
    line = (
        'cat > stdin; printf %s "$CONSOLE_AUTOMATION_NOTIFICATION" > variable;'
        ' echo "$OWN $JOB_ID $JOB_STATUS $JOB_EXIT_CODE [$JOB_NAME]" > told; touch done'
    )
    options = {"working_directory": str(tmp_path), "environment": {"OWN": "own"}}
    job_id = await start(app, "exit 3", {"command": line}, **options)
    await until((tmp_path / "done").exists, "the command")
    assert (tmp_path / "told").read_text() == f"own {job_id} failed 3 []\n"
    said = json.loads((tmp_path / "stdin").read_text())
    assert (said["id"], said["event"]) == (f"notification-{job_id}.1", "job.failed")
    assert json.loads((tmp_path / "variable").read_text()) == said
    jobs = await app.call("console_list_jobs", options={"tags": {"notify": job_id}})
    assert [each["command"] for each in jobs.view["jobs"]] == [line]


async def test_the_end_of_a_run_of_a_workflow_is_told_with_how_its_steps_ended(
    app: App, hooks: Hooks, tmp_path: Path
) -> None:
    async def ok(tool: str, **arguments: Any) -> Any:
        answer = await app.call(tool, **arguments)
        assert not answer.is_error, answer.text
        return answer.view

    for name, line in (("fine", "true"), ("breaks", "exit 3")):
        await ok("console_register_job", name=name, command=line, args=None)
    line = f'cat > {tmp_path}/told; echo "$WORKFLOW_NAME $WORKFLOW_STATUS" > {tmp_path}/said'
    await ok(
        "console_register_workflow",
        name="two",
        steps=[
            {"id": "a", "job": "fine"},
            {"id": "b", "job": "breaks", "dependsOn": ["a"]},
        ],
        notify=[
            {"webhook": hooks.url("/runs")},
            {"webhook": hooks.url("/never"), "on": ["completed"]},
            {"command": line},
        ],
    )
    begun = await ok("console_execute_workflow", name="two", waitMs=1000)
    run_id = begun["run"]["runId"]
    await until(lambda: hooks.received and (tmp_path / "said").exists(), "the notifications")
    [came] = hooks.received
    assert came.path == "/runs"
    assert came.message["event"] == "workflow.failed"
    assert came.message["id"] == f"notification-{run_id}.1"
    told = came.message["workflow"]
    assert (told["id"], told["name"], told["status"]) == (run_id, "two", "failed")
    assert told["steps"] == {"a": "completed", "b": "failed"}

    async def said() -> bool:
        return (tmp_path / "said").read_text() == "two failed\n"

    await until(said, "the command")
    assert json.loads((tmp_path / "told").read_text())["id"] == f"notification-{run_id}.3"
    await until(lambda: nothing_is_left(app), "an empty outbox")


async def test_a_command_that_cannot_be_run_is_given_up(app: App, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    job_id = await start(app, f"rmdir {gone}", {"command": "true"}, working_directory=str(gone))
    assert "is not a directory" in (await failure_of(app, job_id)).data["error"]


PRIVATE = (
    "http://127.0.0.1/",
    "http://10.1.2.3:8080/x",
    "http://[::1]/",
    "http://[::ffff:192.168.1.1]/",
    "http://[fe80::1]/",
    "http://169.254.169.254/latest/meta-data/",
    "https://localhost/",
    "https://LocalHost./",
)


async def test_addresses_that_are_not_public_are_refused(home: Path, hooks: Hooks) -> None:
    async with open_app(home, Settings(**KNOBS | {"webhook_allow_private": False})) as app:
        for url in PRIVATE:
            with pytest.raises(BadRequest, match=r"options\.notify\.0\.webhook: .* public"):
                await start(app, "true", {"webhook": url})
        assert (await app.call("console_list_jobs")).view["total"] == 0
        # A name that only its resolution shows to be this machine: inet_aton reads it.
        job_id = await start(app, "true", {"webhook": hooks.url("/canary", host="2130706433")})
        entry = await failure_of(app, job_id)
        assert "is at 127.0.0.1, which is not a public address" in entry.data["error"]
        assert "canary" not in str(entry) and not hooks.received


async def test_without_a_mail_server_a_mail_is_refused(home: Path) -> None:
    async with open_app(home, Settings(**CALM)) as app:
        with pytest.raises(BadRequest, match="setting smtp_host and smtp_from"):
            await start(app, "true", {"email": "me@example.org"})


@pytest.mark.parametrize(
    ("notify", "said"),
    [
        ({}, "one of webhook, email and command"),
        ({"webhook": "http://example.org", "command": "true"}, "one of webhook"),
        ({"email": "me@example.org\r\nBcc: you@example.org"}, "one plain address"),
        ({"email": "me@example.org, you@example.org"}, "one plain address"),
        ({"webhook": "ftp://example.org/"}, "https:// or http://"),
        ({"webhook": "http://example.org/\r\nX: y"}, "visible ASCII"),
        ({"command": "true", "on": []}, "at least 1 item"),
        ({"command": "true", "on": ["running"]}, "Input should be 'completed'"),
        ({"command": "true", "sms": "123"}, "sms"),
    ],
)
async def test_what_is_no_receiver_is_refused(app: App, notify: dict[str, Any], said: str) -> None:
    with pytest.raises(BadRequest, match=said):
        await start(app, "true", notify)
