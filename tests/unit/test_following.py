"""Following the pages of an output: what is asked for next, and what is shown of it."""

import sys
from collections.abc import Mapping
from typing import Any, cast

import pytest

if sys.platform == "win32":
    pytest.skip("the command line needs POSIX", allow_module_level=True)

from console_automation.frontends.cli.following import pages
from console_automation.frontends.client import Client


class Searched:
    """A daemon that searches an output in stretches of ten lines, some of which match."""

    def __init__(self, matches: Mapping[int, bytes], stretches: int) -> None:
        self.matches = matches
        self.stretches = stretches

    def call(self, operation: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return the matches of the next stretch, the last of them if a tail is wanted."""
        options = arguments["options"]
        since = options.get("since", 0)
        found = [number for number in self.matches if since < number <= since + 10]
        return {
            "output": [
                {"sequenceNumber": number, "content": f"{number}\n"}
                for number in found[-options.get("tail", 10) :]
            ],
            "nextSince": since + 10,
            "hasMore": since + 10 < self.stretches * 10,
            "status": "completed",
        }


def shown(matches: list[int], **options: Any) -> list[str]:
    daemon = Searched(dict.fromkeys(matches, b""), stretches=4)
    found = pages(cast(Client, daemon), "job-1", options, follow=True)
    return [chunk["content"] for page in found for chunk in page["output"]]


def test_the_last_matches_are_those_of_the_whole_search() -> None:
    assert shown([1, 2, 11, 12, 21, 31], grep="x", tail=2) == ["21\n", "31\n"]
    assert shown([1, 2, 3, 11], grep="x", tail=2) == ["3\n", "11\n"]
    assert shown([1, 2], grep="x", tail=1) == ["2\n"]


def test_without_a_tail_every_match_is_shown() -> None:
    assert shown([1, 12, 31], grep="x") == ["1\n", "12\n", "31\n"]
