"""What a gateway asks a worker about a job that it has, and the answer: an operation and its result."""

import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from console_automation.core.seal import seal, unseal
from console_automation.errors import BadRequest, from_code

#: How old a question may be when it arrives; also how far two clocks may be apart.
FRESH_SECONDS = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """An operation on the run of a job's epoch. The nonce keeps it from being asked twice."""

    job_id: str
    epoch: int
    operation: str
    arguments: Mapping[str, Any]
    at: float
    by: str = ""  #: the client on whose behalf it is asked
    nonce: str = field(default_factory=lambda: secrets.token_hex(16))


def question_to_bytes(question: Question, key: bytes, host: str) -> bytes:
    """Return a question to a host as it is sent."""
    return seal(key, f"question/{host}", json.dumps(asdict(question)).encode("ascii"))


def question_from_bytes(data: bytes, key: bytes, host: str, *, now: float) -> Question:
    """Return a question that was sent to this host. Raises Forged, and BadRequest when it is not fresh."""
    question = Question(**json.loads(unseal(key, f"question/{host}", data)))
    if abs(now - question.at) > FRESH_SECONDS:
        raise BadRequest(
            f"The question is {now - question.at:.0f} s old. Are the clocks of gateway and worker right?"
        )
    return question


def answer_to_bytes(view: Mapping[str, Any], *, is_error: bool) -> bytes:
    """Return the result of an operation, or its error result, as it is sent."""
    return json.dumps({"view": view, "isError": is_error}).encode("ascii")


def answer_from_bytes(data: bytes) -> Mapping[str, Any]:
    """Return the result of an operation. Raises the error that the worker refused with."""
    said = json.loads(data)
    view: Mapping[str, Any] = said["view"]
    if said["isError"]:
        raise from_code(view["code"], view["error"], dict(view["details"]))
    return view
