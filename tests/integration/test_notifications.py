"""Notifications: whoever asks is told of a job's end, by webhook, e-mail or a command."""

from collections.abc import Iterator
from typing import Any

import pytest

from console_automation.app import App
from console_automation.config import Settings
from tests.conftest import CALM
from tests.integration.receivers import Hooks, webhooks
from tests.waiting import until

SECRET = "a secret that nobody prints"


@pytest.fixture
def hooks() -> Iterator[Hooks]:
    with webhooks() as receiver:
        yield receiver


@pytest.fixture
def settings() -> Settings:
    return Settings(
        **CALM,
        webhook_secret=SECRET,
        webhook_allow_private=True,
        notify_attempts=3,
        notify_backoff_ms=1,
    )


async def start(app: App, line: str, *notify: dict[str, Any], **options: Any) -> str:
    return await app.start_background_job(line, shell=True, notify=list(notify), **options)


async def test_a_webhook_tells_of_the_end(app: App, hooks: Hooks) -> None:
    job_id = await start(app, "exit 3", {"webhook": hooks.url("/a?b=c")}, name="build")
    await until(lambda: hooks.received, "the webhook")
    [came] = hooks.received
    assert came.path == "/a?b=c" and came.headers["Content-Type"] == "application/json"
    message = came.message
    assert message["event"] == "job.failed"
    assert message["id"] == came.headers["Console-Automation-Notification"]
    assert (message["job"]["id"], message["job"]["name"]) == (job_id, "build")
