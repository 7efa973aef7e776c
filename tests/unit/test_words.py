"""Arguments that come as words of a URL get the types that a request wants, or a word on what is wrong."""

import pytest

from console_automation.errors import BadRequest
from console_automation.operations.checking import from_words
from console_automation.operations.requests import GetJobOutput, GetJobStatus, ListJobs


def test_words_become_what_the_request_wants_and_nothing_is_added() -> None:
    words = {"since": "5", "raw": "true", "waitMs": "100", "stream": "stderr", "grep": "7"}
    assert from_words(GetJobOutput, {"jobId": "job-1", "options": words}) == {
        "jobId": "job-1",
        "options": {"since": 5, "raw": True, "waitMs": 100.0, "stream": "stderr", "grep": "7"},
    }
    assert from_words(ListJobs, {"options": {}}) == {"options": {}}


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ({"limit": "many"}, "options.limit"),
        ({"limit": "0"}, "options.limit"),
        ({"limit": "1.5"}, "options.limit"),
        ({"status": "odd"}, "options.status"),
        ({"tags": "a"}, "options.tags"),
        ({"cursor": "x"}, "options.cursor"),
        ({"colour": "red"}, "options.colour"),
    ],
)
def test_a_word_that_is_none_of_these_is_named(words: dict[str, str], named: str) -> None:
    with pytest.raises(BadRequest) as refusal:
        from_words(ListJobs, {"options": words})
    assert refusal.value.details["field"] == named


@pytest.mark.parametrize("value", ["nan", "inf", "-1", "1e308", "", "0x1"])
def test_a_wait_is_a_number_within_its_bounds(value: str) -> None:
    with pytest.raises(BadRequest):
        from_words(GetJobStatus, {"jobId": "job-1", "waitMs": value})
