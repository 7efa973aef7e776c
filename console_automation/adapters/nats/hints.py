"""Hints: a queue of work in which each job has one place."""

from typing import Any

from nats.aio.msg import Msg

from console_automation.adapters.nats.connection import Connection
from console_automation.adapters.nats.live import Live, Refused
from console_automation.adapters.nats.pull import SECOND, Pull
from console_automation.errors import Unavailable

AGAIN = 5  # seconds until a hint comes again that was not dealt with
WAITING = 100_000  # how many workers may wait at once
ONE_IS_THERE = "maximum messages per subject"


class NatsHint:
    """A message that waits to be acknowledged."""

    def __init__(self, live: Live, message: Msg) -> None:
        self.job_id = message.subject.rpartition(".")[2]
        self._live = live
        self._reply = message.reply

    async def done(self) -> None:
        """Acknowledge it."""
        await self._tell(b"+ACK")

    async def later(self, delay: float) -> None:
        """Give it back."""
        await self._tell(b'-NAK {"delay": %d}' % max(1, int(delay * SECOND)))

    async def _tell(self, what: bytes) -> None:
        try:
            await self._live.tell(self._reply, what)
        except Unavailable:
            pass  # it comes again by itself


class NatsHints:
    """The stream of hints. A queue is a consumer of its own, made when it is first read from."""

    def __init__(self, connection: Connection, namespace: str) -> None:
        self._connection = connection
        self._prefix = f"{namespace}.hints."
        self.stream = f"{namespace}-hints"
        self._made: set[tuple[Live, str]] = set()

    def config(self) -> dict[str, Any]:
        """Return how the stream is made: a second hint for a job is refused, one that was read goes."""
        return {
            "name": self.stream,
            "subjects": [f"{self._prefix}>"],
            "retention": "workqueue",
            "storage": "file",
            "max_msgs_per_subject": 1,
            "discard": "new",
            "discard_new_per_subject": True,
        }

    async def put(self, queue: str, job_id: str) -> None:
        """Publish; being refused for a hint that is there is as good."""
        try:
            await self._connection.live().ask(f"{self._prefix}{queue}.{job_id}")
        except Refused as error:
            if ONE_IS_THERE not in error.description:
                raise Unavailable(f"The cluster takes no hint: {error}.") from error

    async def read(self, queue: str, *, limit: int, wait: float) -> list[NatsHint]:
        """Take what is there, or wait for one and take what has come with it."""
        live = self._connection.live()
        async with Pull(live, self.stream, await self._consumer(live, queue)) as pull:
            found = await pull.present(limit)
            if not found and wait > 0:
                first = await pull.first(wait=wait)
                found = [first, *await pull.present(limit - 1)] if first else []
        return [NatsHint(live, each) for each in found]

    async def waiting(self) -> set[str]:
        """Page through the subjects that have a message."""
        live, found = self._connection.live(), set[str]()
        seen = 0
        while True:
            body = {"subjects_filter": ">", "offset": seen}
            try:
                info = await live.api(f"STREAM.INFO.{self.stream}", body)
            except Refused as error:
                raise Unavailable(f"The cluster does not say what waits: {error}.") from error
            subjects = info["state"].get("subjects") or {}
            found.update(subject.rpartition(".")[2] for subject in subjects)
            seen += len(subjects)
            if not subjects or seen >= int(info.get("total", 0)):
                return found

    async def _consumer(self, live: Live, queue: str) -> str:
        name = queue.replace(".", "-")
        if (live, name) not in self._made:
            config = {
                "durable_name": name,
                "filter_subject": f"{self._prefix}{queue}.>",
                "ack_policy": "explicit",
                "ack_wait": AGAIN * SECOND,
                "max_deliver": -1,
                "max_ack_pending": -1,
                "max_waiting": WAITING,
            }
            body = {"stream_name": self.stream, "config": config}
            try:
                await live.api(f"CONSUMER.DURABLE.CREATE.{self.stream}.{name}", body)
            except Refused as error:
                raise Unavailable(f"The queue {queue} cannot be made: {error}.") from error
            self._made = {each for each in self._made if each[0] is live} | {(live, name)}
        return name
