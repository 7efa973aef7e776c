"""Answering what gateways ask about the jobs that this worker has, or had."""

import asyncio
import time
from collections import OrderedDict
from dataclasses import replace

from console_automation.core.cluster_job import Holder
from console_automation.core.cluster_names import key_of
from console_automation.core.question import (
    FRESH_SECONDS,
    Question,
    answer_to_bytes,
    question_from_bytes,
)
from console_automation.core.seal import seal
from console_automation.core.target import host_key
from console_automation.engine.cluster import Cluster
from console_automation.engine.engine import Engine
from console_automation.errors import BadRequest, JobNotFound, LimitReached, Unavailable
from console_automation.operations.operation import Answer
from console_automation.operations.submission import Call
from console_automation.operations.table import OPERATIONS, invoke, refusal

_AGAIN_SECONDS = 0.5
_LARGEST = 1_000_000  #: NATS takes a mebibyte at once
#: What can be asked: nothing that would begin anything.
_ASKED = {
    name: OPERATIONS[name]
    for name in (
        "console_get_job_status",
        "console_get_job_output",
        "console_get_job_result",
        "console_send_job_input",
        "console_cancel_job",
    )
}


class Answers:
    """Carries out operations on jobs of the cluster, under the names that these have on this machine."""

    def __init__(self, engine: Engine, cluster: Cluster, *, me: Holder, call: Call) -> None:
        self._engine = engine
        self._cluster = cluster
        self._me = me
        self._host = me.host
        self._call = call
        self._nonces: OrderedDict[str, float] = OrderedDict()

    async def forever(self) -> None:
        """Have questions answered; the bus keeps that up over new connections."""
        while True:
            try:
                await self._cluster.bus.answer(host_key(self._host), self._reply)
                return
            except Unavailable:
                await asyncio.sleep(_AGAIN_SECONDS)

    async def _reply(self, data: bytes) -> bytes:
        key, now = self._cluster.key, self._engine.jobs.clock.now()
        question = question_from_bytes(data, key, self._host, now=now)
        self._refuse_repeated(question.nonce)
        store = self._engine.jobs.ledger.store
        local = await store.find_by_key(key_of(question.job_id, question.epoch))
        answer: Answer
        if local is None:
            self._leave_to_namesake(question)
            answer = refusal(self._engine, JobNotFound(question.job_id))
        else:
            arguments = {**question.arguments, "jobId": local.id}
            call = on_behalf(self._call, question.by)
            answer = await invoke(self._engine, question.operation, arguments, call, offered=_ASKED)
        body = answer_to_bytes(answer.view, is_error=answer.is_error)
        if len(body) > _LARGEST:
            size = LimitReached(
                f"The answer takes {len(body)} bytes, more than a message can have. Worker"
                f" {self._host} has it, in its job {local and local.id}."
            )
            body = answer_to_bytes(refusal(self._engine, size).view, is_error=True)
        return seal(key, f"answer/{question.nonce}", body)

    def _leave_to_namesake(self, question: Question) -> None:
        """Raise Unavailable when the host name is another worker's: it is asked too, and the first answer
        counts."""
        found = self._cluster.roster.get(self._host)
        if found is not None and found.worker.instance != self._me.instance:
            raise Unavailable(
                f"{question.job_id} is for the worker that has the name {self._host}."
            )

    def _refuse_repeated(self, nonce: str) -> None:
        now = time.monotonic()
        while self._nonces and now - next(iter(self._nonces.values())) > 2 * FRESH_SECONDS:
            self._nonces.popitem(last=False)
        if nonce in self._nonces:
            raise BadRequest("This question has been asked before.")
        self._nonces[nonce] = now


def on_behalf(call: Call, client: str) -> Call:
    """Return the call that carries out what a client of the cluster wants: on record it is theirs."""
    return replace(call, client=f"cluster:{client}") if client else call
