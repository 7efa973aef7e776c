"""The seal, and what travels under it between gateways and workers: nothing of it can be made up, moved
to another place, or kept for later."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from console_automation.core.question import (
    FRESH_SECONDS,
    Question,
    answer_from_bytes,
    answer_to_bytes,
    question_from_bytes,
    question_to_bytes,
)
from console_automation.core.seal import Forged, seal, unseal
from console_automation.errors import BadRequest, Conflict

KEY, OTHER_KEY = b"0123456789abcdef", b"0123456789abcdeg"
some = settings(max_examples=100, deadline=None)
ASKED = Question(
    job_id="cluster-job-1", epoch=2, operation="console_cancel_job", arguments={"a": 1}, at=1000.0
)


@some
@given(st.text(max_size=20), st.binary(max_size=100))
def test_what_was_sealed_is_opened_in_its_place(place: str, body: bytes) -> None:
    assert unseal(KEY, place, seal(KEY, place, body)) == body


@some
@given(st.binary(min_size=1, max_size=50), st.data())
def test_a_single_byte_that_was_changed_breaks_the_seal(body: bytes, data: st.DataObject) -> None:
    sealed = bytearray(seal(KEY, "place", body))
    where = data.draw(st.integers(0, len(sealed) - 1))
    sealed[where] ^= data.draw(st.integers(1, 255))
    with pytest.raises(Forged):
        unseal(KEY, "place", bytes(sealed))


def test_a_seal_holds_under_its_key_and_in_its_place_alone() -> None:
    sealed = seal(KEY, "cluster-job-1", b"body")
    for key, place in ((OTHER_KEY, "cluster-job-1"), (KEY, "cluster-job-2"), (KEY, "")):
        with pytest.raises(Forged):
            unseal(key, place, sealed)


def test_a_place_cannot_be_made_longer_at_the_cost_of_the_body() -> None:
    sealed = seal(KEY, "job", b"-1body")
    mac = sealed[:64]
    with pytest.raises(Forged):
        unseal(KEY, "job-1", mac + b"body")


@pytest.mark.parametrize("data", [b"", b"x", b"0" * 63, b"0" * 64, b"\xff" * 80])
def test_what_is_too_short_or_no_text_is_forged_and_no_error_of_another_kind(data: bytes) -> None:
    with pytest.raises(Forged):
        unseal(KEY, "place", data)


def test_a_question_comes_as_it_was_asked() -> None:
    sent = question_to_bytes(ASKED, KEY, "web-1")
    assert question_from_bytes(sent, KEY, "web-1", now=ASKED.at + 1) == ASKED


def test_a_question_to_one_host_cannot_be_put_to_another() -> None:
    with pytest.raises(Forged):
        question_from_bytes(question_to_bytes(ASKED, KEY, "web-1"), KEY, "web-2", now=ASKED.at)


@pytest.mark.parametrize("age", [FRESH_SECONDS + 1, -FRESH_SECONDS - 1])
def test_a_question_that_is_not_of_this_time_is_refused(age: float) -> None:
    sent = question_to_bytes(ASKED, KEY, "web-1")
    with pytest.raises(BadRequest, match="clocks"):
        question_from_bytes(sent, KEY, "web-1", now=ASKED.at + age)
    near = ASKED.at + age * (FRESH_SECONDS - 1) / (FRESH_SECONDS + 1)
    assert question_from_bytes(sent, KEY, "web-1", now=near)


def test_no_two_questions_have_the_same_nonce() -> None:
    def asked() -> Question:
        return Question(job_id="j", epoch=1, operation="o", arguments={}, at=0.0)

    assert len({asked().nonce for _ in range(100)}) == 100
    assert replace(ASKED).nonce == ASKED.nonce


@pytest.mark.parametrize("view", [{}, {"output": ["a"], "nextSince": 3}])
def test_an_answer_comes_as_it_was_given(view: dict[str, Any]) -> None:
    assert answer_from_bytes(answer_to_bytes(view, is_error=False)) == view


def test_what_a_worker_refuses_with_is_raised_at_the_gateway() -> None:
    view = {"code": Conflict.code, "error": "stdin is closed", "details": {"jobId": "j"}}
    with pytest.raises(Conflict, match="stdin is closed"):
        answer_from_bytes(answer_to_bytes(view, is_error=True))
