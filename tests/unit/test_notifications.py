"""The deliverer over fakes: no process, no network, and a clock that a test turns."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console_automation.adapters.memory import MemoryStore, failing
from console_automation.adapters.memory_courier import MemoryCourier
from console_automation.config import Settings
from console_automation.core.job import Job
from console_automation.core.messages import Message
from console_automation.core.notify import Channel, Notify
from console_automation.engine.jobs import JobManager
from console_automation.engine.notifications import Notifications, Outcome, tries
from console_automation.errors import BadRequest, StoreFull, Unavailable
from tests.builders import command, script, spec
from tests.conftest import Build
from tests.waiting import until


class Hands:
    """A clock that stands still until a test turns it."""

    boot_id = "this-boot"

    def __init__(self) -> None:
        self.time = 1_000.0

    def now(self) -> float:
        return self.time


class Post:
    """Notifications, with a courier that goes nowhere."""

    def __init__(self, manager: JobManager, clock: Hands) -> None:
        self.manager = manager
        self.clock = clock
        self.store = manager.ledger.store
        self.courier = MemoryCourier()
        self.outcomes: list[Outcome] = []
        both = dict.fromkeys((Channel.WEBHOOK, Channel.EMAIL), self.courier)
        self.notifications = Notifications(manager, both)
        self.notifications.listen(lambda message, outcome: self.outcomes.append(outcome))
        self.notifications.open()

    async def submit(self, *notify: Notify, text: str = "exit 3") -> Job:
        return await self.manager.submit(spec(script(text), notify=notify))

    async def after(self, seconds: float) -> None:
        """Let time pass, and the deliverer notice."""
        self.clock.time += seconds
        await self.notifications.post([])

    async def waiting(self) -> list[Message]:
        return await self.store.outbox.due(at=1e9, each=99, limit=99)

    async def until_told(self, *outcomes: Outcome) -> None:
        await until(lambda: self.outcomes == list(outcomes), f"{outcomes}, not {self.outcomes}")


Open = Callable[..., Awaitable[Post]]


@pytest.fixture
async def posts(build: Build) -> AsyncIterator[Open]:
    opened: list[Post] = []

    async def make(**fields: Any) -> Post:
        clock = Hands()
        opened.append(Post(await build(clock=clock, **fields), clock))
        return opened[-1]

    yield make
    for each in opened:
        await each.notifications.close()


def hook(name: str = "a") -> Notify:
    return Notify(channel=Channel.WEBHOOK, target=f"https://{name}.example/hook")


LINE = Notify(channel=Channel.COMMAND, target="exit 0")


async def test_an_end_is_told_once_it_is_stored_and_then_forgotten(posts: Open) -> None:
    post = await posts()
    job = await post.submit(hook())
    await post.until_told(Outcome.DELIVERED)
    [told] = post.courier.delivered
    assert told.id == f"notification-{job.id}.1" and await post.waiting() == []


async def test_nothing_is_told_while_the_end_cannot_be_stored(
    posts: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("console_automation.engine.ledger._RETRY_SECONDS", 0.01)
    post = await posts()
    broken = True
    update = post.store.update

    def refuse(*args: Any, **more: Any) -> Any:
        return failing(StoreFull()) if broken else update(*args, **more)

    monkeypatch.setattr(post.store, "update", refuse)
    job = await post.submit(hook())
    await until(lambda: post.manager.ledger._unsaved, "the failed write")
    assert not post.courier.delivered and await post.waiting() == []
    broken = False
    await post.until_told(Outcome.DELIVERED)
    assert (await post.store.get(job.id)) == await post.manager.ledger.get(job.id)


async def test_the_pauses_between_the_tries_grow_to_a_bound_and_then_it_is_given_up(
    posts: Open,
) -> None:
    post = await posts(notify_attempts=5, notify_backoff_ms=1_000, notify_max_backoff_ms=3_000)
    post.courier.failures += [Unavailable("not now")] * 5
    job = await post.submit(hook())
    pauses = []
    for failed in range(1, 5):
        await post.until_told(*[Outcome.POSTPONED] * failed)
        [message] = await post.waiting()
        pauses.append(message.due_at - post.clock.now())
        assert message.attempts == failed
        await post.after(pauses[-1] - 0.001)  # which is not quite long enough
        await asyncio.sleep(0)
        assert len(post.outcomes) == failed
        await post.after(0.002)
    assert pauses == pytest.approx([1.0, 2.0, 3.0, 3.0])
    await post.until_told(*[Outcome.POSTPONED] * 4, Outcome.GIVEN_UP)
    assert await post.waiting() == [] and not post.courier.delivered
    entry = (await post.store.journal(job.id))[-1]
    assert (entry.event, entry.data["error"]) == ("NotificationFailed", "not now")


@given(
    attempts=st.integers(2, 100),
    backoff=st.integers(1, 86_400_000),
    bound=st.integers(1, 86_400_000),
)
def test_with_any_settings_no_pause_is_shorter_than_the_one_before_or_beyond_the_bound(
    attempts: int, backoff: int, bound: int
) -> None:
    knobs = Settings(
        notify_attempts=attempts, notify_backoff_ms=backoff, notify_max_backoff_ms=bound
    )
    pauses = [tries(knobs).pause(number, "notification-1") for number in range(1, attempts)]
    assert pauses == sorted(pauses) and pauses[0] == min(backoff, bound) / 1000
    assert pauses[-1] <= bound / 1000


async def test_what_never_can_be_delivered_is_given_up_at_once(posts: Open) -> None:
    post = await posts()
    post.courier.failures.append(BadRequest("never"))
    await post.submit(hook())
    await post.until_told(Outcome.GIVEN_UP)
    assert await post.waiting() == []


async def test_a_courier_that_breaks_is_a_failed_try(posts: Open) -> None:
    post = await posts(notify_attempts=1)
    post.courier.failures.append(ZeroDivisionError())  # type: ignore[arg-type]
    await post.submit(hook())
    await post.until_told(Outcome.GIVEN_UP)


async def test_a_receiver_that_never_answers_is_left_after_its_time(posts: Open) -> None:
    post = await posts(notify_timeout_ms=10, notify_attempts=1)
    post.courier.silent.add(hook().target)
    job = await post.submit(hook())
    await post.until_told(Outcome.GIVEN_UP)
    entry = (await post.store.journal(job.id))[-1]
    assert "no answer within 0.01 s" in entry.data["error"]


async def test_a_receiver_has_a_few_places_and_all_have_a_few_more(posts: Open) -> None:
    post = await posts(max_concurrent_jobs=100)
    silent = [hook(f"h{number}") for number in range(9)]
    post.courier.silent |= {each.target for each in silent}
    await post.submit(*silent[:1] * 9)
    await until(lambda: post.courier.attempts == 4, "its places")
    for each in silent[1:]:
        await post.submit(*[each] * 9)
    await until(lambda: post.courier.attempts == 32, "all places")
    await post.after(1.0)
    await asyncio.sleep(0)
    assert post.courier.attempts == 32


async def test_what_was_delivered_is_not_delivered_again_because_it_cannot_be_written_down(
    posts: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("console_automation.engine.notifications._STORE_RETRY_SECONDS", 0.01)
    post = await posts()
    refusals = [StoreFull(), StoreFull()]
    remove = post.store.outbox.remove

    def refuse(message_id: str) -> Any:
        return failing(refusals.pop()) if refusals else remove(message_id)

    monkeypatch.setattr(post.store.outbox, "remove", refuse)
    await post.submit(hook())
    await post.until_told(Outcome.DELIVERED)
    assert len(post.courier.delivered) == 1 and await post.waiting() == [] and not refusals


async def test_what_is_delivered_while_the_outbox_is_read_is_not_delivered_again(
    posts: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    post = await posts()
    due, deliver = post.store.outbox.due, post.courier.deliver
    arrived, reads = asyncio.Event(), 0

    async def slow(message: Message) -> None:
        await arrived.wait()
        await deliver(message)

    async def read(**asked: Any) -> list[Message]:
        nonlocal reads
        found = await due(**asked)
        reads += 1
        if found and post.notifications._under_way:
            arrived.set()
            await post.until_told(Outcome.DELIVERED)
        return found

    monkeypatch.setattr(post.courier, "deliver", slow)
    monkeypatch.setattr(post.store.outbox, "due", read)
    await post.submit(hook())
    await until(lambda: post.notifications._under_way, "the attempt")
    await post.after(0.0)
    await post.until_told(Outcome.DELIVERED)
    seen = reads
    await post.after(0.0)
    await until(lambda: reads > seen + 1 or not post.notifications._under_way, "another read")
    assert len(post.courier.delivered) == 1


async def test_an_outbox_that_cannot_be_read_is_read_later(
    posts: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("console_automation.engine.notifications._STORE_RETRY_SECONDS", 0.01)
    post = await posts()
    due, refusals = post.store.outbox.due, [Unavailable("disk on fire")]

    async def refuse(**asked: Any) -> list[Message]:
        if refusals:
            raise refusals.pop()
        return await due(**asked)

    monkeypatch.setattr(post.store.outbox, "due", refuse)
    await post.submit(hook())
    await post.until_told(Outcome.DELIVERED)
    assert not refusals


async def test_a_job_that_is_gone_is_told_of_and_given_up_all_the_same(posts: Open) -> None:
    post = await posts()
    post.courier.failures.append(Unavailable("not now"))
    job = await post.submit(hook(), LINE)
    await until(lambda: len(post.outcomes) == 2, "both")
    await until(lambda: post.manager.ledger._recent, "the end")
    await post.manager.delete([job])
    post.courier.failures.append(BadRequest("never"))
    await post.after(10.0)
    await until(lambda: len(post.outcomes) == 3, "the next try")
    assert post.outcomes[-1] is Outcome.GIVEN_UP and await post.store.journal(job.id) == []


async def test_a_command_is_one_job_however_often_it_is_delivered(posts: Open) -> None:
    post = await posts()
    job = await post.submit(LINE)
    await post.until_told(Outcome.DELIVERED)
    message = Message(
        id=f"notification-{job.id}.1",
        channel=Channel.COMMAND,
        target=LINE.target,
        subject="",
        body="{}",
        due_at=0.0,
        environment=command().environment,
    )
    await post.notifications.post([message])
    await post.until_told(Outcome.DELIVERED, Outcome.DELIVERED)
    assert post.manager.ledger.counts.total() == 2


async def test_a_command_waits_while_too_many_jobs_do(posts: Open) -> None:
    post = await posts(max_pending_jobs=1, max_concurrent_jobs=1)
    waiting = await post.manager.submit(spec(script("sleep")))
    full = await post.manager.submit(spec(script("exit 0")))
    message = Message(
        id="notification-x",
        channel=Channel.COMMAND,
        target="exit 0",
        subject="",
        body="{}",
        due_at=0.0,
    )
    await post.notifications.post([message])
    await post.until_told(Outcome.POSTPONED)
    for each in (full, waiting):
        await post.manager.cancel(each.id, signal=15, grace=1, by="test")
    await post.after(10.0)
    await post.until_told(Outcome.POSTPONED, Outcome.DELIVERED)


async def test_another_message_than_that_of_a_job_may_be_posted(posts: Open) -> None:
    post = await posts()
    message = Message(
        id="notification-run-1.1",
        channel=Channel.EMAIL,
        target="me@example.org",
        subject="workflow run-1 completed",
        body="{}",
        due_at=post.clock.now(),
    )
    await post.notifications.post([message])
    await post.until_told(Outcome.DELIVERED)
    assert post.courier.delivered == [message]


async def test_a_job_that_is_run_again_tells_the_same_receivers(posts: Open) -> None:
    post = await posts()
    job = await post.submit(hook())
    await post.until_told(Outcome.DELIVERED)
    again = await post.manager.retry(job.id, client="test")
    await post.until_told(Outcome.DELIVERED, Outcome.DELIVERED)
    assert post.courier.delivered[-1].id == f"notification-{again.id}.1"


async def test_what_is_not_delivered_when_it_closes_is_there_for_the_next(build: Build) -> None:
    store, clock = MemoryStore(), Hands()
    post = Post(await build(clock=clock, store=store), clock)
    post.courier.silent.add(hook().target)
    await post.submit(hook())
    await until(lambda: post.courier.attempts == 1, "the attempt")
    await post.notifications.close()
    assert len(await post.waiting()) == 1
    again = Post(post.manager, clock)
    await again.until_told(Outcome.DELIVERED)
    await again.notifications.close()
