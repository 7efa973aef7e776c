"""Targets: what can be written, which workers are meant, and names that are safe in keys and subjects."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from console_automation.core.target import (
    Member,
    Reach,
    checked_host,
    host_key,
    host_of_key,
    matches,
    meant,
    nobody,
    parse_labels,
    parse_target,
)

TOKENS = st.from_regex(r"[A-Za-z0-9_-]{1,6}", fullmatch=True)
DOTTED = st.lists(TOKENS, min_size=1, max_size=4).map(".".join)
HOSTS = DOTTED.filter(lambda text: not text.startswith("_"))
some = settings(max_examples=100, deadline=None)

FLEET = (
    Member(host="web-1", labels={"group": "web.dev.us"}),
    Member(host="web-2", labels={"group": "web.development"}),
    Member(host="db", labels={"group": "db", "zone": "web.dev"}, is_cordoned=True),
    Member(host="gone", labels={"group": "web.dev"}, is_live=False),
)


def hosts_meant(text: str) -> list[str]:
    return [each.host for each in meant(parse_target(text), FLEET)]


@pytest.mark.parametrize(
    ("text", "reach"),
    [
        ("_any", Reach.ANY),
        ("_all", Reach.ALL),
        ("web-1", Reach.HOST),
        ("web-1.example", Reach.HOST),
        ("group:web.dev", Reach.LABEL),
    ],
)
def test_a_target_says_how_many_workers_it_means(text: str, reach: Reach) -> None:
    target = parse_target(text)
    assert (target.text, target.reach) == (text, reach)
    assert target.is_group is (reach in (Reach.ALL, Reach.LABEL))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "_ANY",
        "_some",
        "_host",
        "a b",
        "a..b",
        ".a",
        "a.",
        "a*",
        "a.>",
        "a/b",
        "a\n",
        "web\u00e4",
        "group:",
        ":web",
        "a.b:web",
        "group:web:dev",
        "group:web.*",
        "group:web.",
        "a" * 201,
        "group:" + "a" * 200,
    ],
)
def test_what_is_no_target_is_refused_with_what_would_be_right(text: str) -> None:
    with pytest.raises(ValueError, match=r"^must be "):
        parse_target(text)


def test_any_means_whoever_is_not_cordoned_be_it_away_for_a_while() -> None:
    assert hosts_meant("_any") == ["gone", "web-1", "web-2"]


def test_all_means_each_that_is_known_whether_it_responds_or_not() -> None:
    assert hosts_meant("_all") == ["db", "gone", "web-1", "web-2"]


def test_a_host_means_itself_and_no_part_of_a_name() -> None:
    assert hosts_meant("web-1") == ["web-1"]
    assert hosts_meant("gone") == ["gone"]
    assert hosts_meant("web") == []


def test_a_label_matches_by_whole_parts_from_the_first() -> None:
    assert hosts_meant("group:web.dev") == ["gone", "web-1"]
    assert hosts_meant("group:web") == ["gone", "web-1", "web-2"]
    assert hosts_meant("group:dev") == []
    assert hosts_meant("group:web.dev.us.east") == []
    assert hosts_meant("zone:web") == ["db"]
    assert hosts_meant("colour:web") == []


@some
@given(DOTTED, DOTTED)
def test_a_label_matches_what_begins_with_all_of_its_parts(asked: str, value: str) -> None:
    member = Member(host="h", labels={"group": value})
    parts, wanted = value.split("."), asked.split(".")
    assert matches(parse_target(f"group:{asked}"), member) is (parts[: len(wanted)] == wanted)


def test_who_is_there_is_told_to_whoever_asked_for_nobody() -> None:
    known = "db (cordoned), gone (unreachable), web-1, web-2"
    told = nobody(parse_target("group:nope"), FLEET)
    assert told == f"target 'group:nope' matches no worker. Known: {known}."
    assert nobody(parse_target("_any"), FLEET[2:]).startswith("target '_any': no worker takes jobs")
    assert nobody(parse_target("_any"), ()).endswith("Known: none.")


def test_labels_are_read_from_words() -> None:
    assert parse_labels("group=web.dev.us-east zone=a") == {"group": "web.dev.us-east", "zone": "a"}
    assert parse_labels("  ") == {}


@pytest.mark.parametrize("text", ["group", "group=", "=web", "a.b=c", "group=web..dev", "g=w x"])
def test_a_word_that_is_no_label_is_named(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no label; write name=value"):
        parse_labels(text)


@some
@given(HOSTS)
def test_a_host_comes_back_from_its_key_which_is_one_token_of_a_subject(host: str) -> None:
    assert checked_host(host) == host
    key = host_key(host)
    assert re.fullmatch(r"[A-Za-z0-9_-]+", key)
    assert host_of_key(key) == host


@some
@given(HOSTS, HOSTS)
def test_two_hosts_never_have_the_same_key(one: str, other: str) -> None:
    assert (host_key(one) == host_key(other)) is (one == other)


@pytest.mark.parametrize(
    ("one", "other"), [("a.b", "a_-b"), ("a_b", "a__b"), ("a_.b", "a._b"), ("a-_.", "a-._")]
)
def test_names_that_are_nearly_alike_have_keys_of_their_own(one: str, other: str) -> None:
    assert host_key(one) != host_key(other)
