"""The contract of the Courier port, kept alike by webhooks, e-mail and the courier in memory."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from console_automation.adapters.mail_courier import MailCourier
from console_automation.adapters.memory_courier import MemoryCourier
from console_automation.adapters.webhook_courier import WebhookCourier
from console_automation.core.messages import Message
from console_automation.core.notify import Channel
from console_automation.engine.notifications import Courier
from console_automation.errors import BadRequest, Unavailable
from tests.integration.receivers import mailbox, webhooks
from tests.waiting import PATIENCE, until


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A courier with a receiver behind it."""

    courier: Courier
    channel: Channel
    target: str
    received: Callable[[], list[str]]  #: the ids of what has arrived
    fail_once: Callable[[], object]  #: have the receiver refuse the next for now
    silence: Callable[[], object]  #: have the receiver never answer
    is_asked: Callable[[], bool]  #: whether the receiver was ever spoken to
    hopeless: tuple[Courier, str]  #: a courier, and a target that it never can deliver to

    def message(self, target: str) -> Message:
        return Message(
            id="notification-job-1.1",
            channel=self.channel,
            target=target,
            subject="job job-1 failed",
            body='{"id": "notification-job-1.1"}',
            due_at=1.0,
        )


@contextlib.contextmanager
def memory() -> Iterator[Stage]:
    courier, hopeless = MemoryCourier(), MemoryCourier()
    hopeless.failures.append(BadRequest("no"))
    yield Stage(
        courier=courier,
        channel=Channel.WEBHOOK,
        target="somebody",
        received=lambda: [message.id for message in courier.delivered],
        fail_once=lambda: courier.failures.append(Unavailable("not now")),
        silence=lambda: courier.silent.add("somebody"),
        is_asked=lambda: courier.attempts > 0,
        hopeless=(hopeless, "somebody"),
    )


@contextlib.contextmanager
def webhook() -> Iterator[Stage]:
    with webhooks() as hooks:
        yield Stage(
            courier=WebhookCourier(secret="", allow_private=True),
            channel=Channel.WEBHOOK,
            target=hooks.url("/hook"),
            received=lambda: [each.message["id"] for each in hooks.received],
            fail_once=lambda: hooks.statuses.append(503),
            silence=lambda: hooks.silent.add("/hook"),
            is_asked=lambda: bool(hooks.received),
            hopeless=(WebhookCourier(secret="", allow_private=False), hooks.url()),
        )


@contextlib.contextmanager
def mail() -> Iterator[Stage]:
    with mailbox() as box:
        courier = MailCourier(
            host="127.0.0.1",
            port=box.port,
            user="",
            password="",
            sender="jobs@example.org",
            tls="none",
            timeout=PATIENCE,
        )
        yield Stage(
            courier=courier,
            channel=Channel.EMAIL,
            target="me@example.org",
            received=lambda: [mail["Console-Automation-Notification"] for mail in box.parsed()],
            fail_once=lambda: box.answers.append("451 try again"),
            silence=box.keep_silent,
            is_asked=lambda: box.is_asked,
            hopeless=(courier, "me@example.org\r\nBcc: you@example.org"),
        )


@pytest.fixture(params=[memory, webhook, mail], ids=lambda param: param.__name__)
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    with request.param() as opened:
        yield opened


async def test_a_message_is_with_the_receiver_when_the_courier_returns(stage: Stage) -> None:
    await stage.courier.deliver(stage.message(stage.target))
    assert stage.received() == ["notification-job-1.1"]


async def test_what_a_receiver_refuses_for_now_may_be_tried_again(stage: Stage) -> None:
    stage.fail_once()
    with pytest.raises(Unavailable):
        await stage.courier.deliver(stage.message(stage.target))
    await stage.courier.deliver(stage.message(stage.target))
    assert "notification-job-1.1" in stage.received()


async def test_what_never_can_be_delivered_is_told_apart(stage: Stage) -> None:
    courier, target = stage.hopeless
    with pytest.raises(BadRequest):
        await courier.deliver(stage.message(target))
    assert stage.received() == []


async def test_a_delivery_that_is_not_answered_can_be_given_up(stage: Stage) -> None:
    stage.silence()
    delivery = asyncio.ensure_future(stage.courier.deliver(stage.message(stage.target)))
    await until(stage.is_asked, "the attempt")
    delivery.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(delivery, PATIENCE)
