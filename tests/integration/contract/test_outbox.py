"""The contract of the Outbox port, kept alike by SQLite and by the memory store."""

import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from console_automation.adapters.memory import MemoryStore
from console_automation.adapters.sqlite.store import SqliteStore
from console_automation.core.job import Phase
from console_automation.core.messages import Message
from console_automation.core.notify import Channel
from console_automation.errors import Unavailable
from console_automation.ports.stores import Store
from tests.builders import job


@pytest.fixture(params=["sqlite", "memory"])
async def store(request: pytest.FixtureRequest, home: Path) -> AsyncIterator[Store]:
    opened: Store = MemoryStore() if request.param == "memory" else SqliteStore(home)
    await opened.open()
    yield opened
    await opened.close()


def message(number: int = 1, host: str = "a.example", **fields: Any) -> Message:
    defaults: dict[str, Any] = {
        "id": f"notification-{number}",
        "channel": Channel.WEBHOOK,
        "target": f"https://{host}/hook?{number}",
        "subject": "job tüt failed",
        "body": '{"id": 1}',
        "due_at": float(number),
    }
    return Message(**{**defaults, **fields})


async def due(store: Store, at: float = 99.0, each: int = 9, limit: int = 99) -> list[str]:
    found = await store.outbox.due(at=at, each=each, limit=limit)
    return [message.id.removeprefix("notification-") for message in found]


async def test_a_message_comes_back_as_it_was_given(store: Store) -> None:
    rich = message(
        channel=Channel.COMMAND,
        target="echo 'ü\udcff'",
        job_id="job-1",
        cwd="/tmp/\udcfe",
        environment={"ODD": "a=b\n\udc80"},
        attempts=3,
    )
    await store.outbox.post([rich])
    assert await store.outbox.due(at=1.0, each=1, limit=1) == [rich]


async def test_messages_are_there_with_the_job_that_brings_them_about(store: Store) -> None:
    await store.insert(job("job-1"), [], [message(1)])
    over = job("job-1", Phase.COMPLETED, completed_at=2.0)
    await store.update(over, [], [message(2), message(3)])
    assert await due(store) == ["1", "2", "3"]


async def test_a_write_that_fails_leaves_no_message(store: Store) -> None:
    await store.insert(job("job-1"), [])
    with pytest.raises(Unavailable):
        await store.insert(job("job-1"), [], [message()])
    assert await due(store) == []


async def test_a_message_that_is_known_stays_as_it_is(store: Store) -> None:
    await store.outbox.post([message()])
    await store.outbox.postpone(message(attempts=2, due_at=7.0))
    await store.outbox.post([message()])
    assert await store.outbox.due(at=9.0, each=9, limit=9) == [message(attempts=2, due_at=7.0)]


async def test_what_is_due_comes_by_how_long_it_has_been_due(store: Store) -> None:
    await store.outbox.post([message(3), message(1), message(4, due_at=1.0), message(2)])
    assert await due(store, at=2.0) == ["1", "4", "2"]
    assert await due(store, at=2.0, limit=2) == ["1", "4"]


async def test_of_one_receiver_come_no_more_than_were_asked_for(store: Store) -> None:
    await store.outbox.post([message(1), message(2), message(3), message(4, "b.example")])
    assert await due(store, each=1) == ["1", "4"]
    assert await due(store, each=2) == ["1", "4", "2"]


async def test_who_has_many_waiting_leaves_the_others_their_turn(store: Store) -> None:
    crowd = [
        message(number, f"{host}.example") for host in "abc" for number in range(ord(host), 900, 3)
    ]
    await store.outbox.post([*crowd, message(950, "late.example")])
    found = await store.outbox.due(at=999.0, each=4, limit=4)
    hosts = [each.receiver.removeprefix("https://")[0] for each in found]
    assert hosts == ["a", "b", "c", "l"]


async def test_the_next_that_is_due_is_one_that_is_not_due_yet(store: Store) -> None:
    assert await store.outbox.next_due(after=0.0) is None
    await store.outbox.post([message(1), message(5), message(3)])
    assert await store.outbox.next_due(after=1.0) == 3.0
    assert await store.outbox.next_due(after=5.0) is None


async def test_a_message_is_forgotten_and_an_unknown_one_is_no_error(store: Store) -> None:
    await store.outbox.post([message(1), message(2)])
    await store.outbox.remove("notification-1")
    await store.outbox.remove("notification-1")
    await store.outbox.postpone(message(1))
    assert await due(store) == ["2"]


async def test_a_message_outlives_the_job_that_it_tells_of(store: Store) -> None:
    await store.insert(job("job-1", Phase.FAILED, completed_at=1.0), [], [message(job_id="job-1")])
    await store.delete(["job-1"])
    assert await due(store) == ["1"]


async def test_a_closed_store_takes_no_message(store: Store) -> None:
    await store.close()
    with pytest.raises(Unavailable):
        await store.outbox.post([message()])
    await store.open()
    assert await due(store) == []


async def test_messages_are_there_for_the_next_process(home: Path) -> None:
    store = SqliteStore(home)
    await store.open()
    kept = dataclasses.replace(message(), attempts=1)
    await store.outbox.post([kept])
    await store.close()
    await store.open()
    assert await store.outbox.due(at=9.0, each=1, limit=1) == [kept]
    await store.close()
