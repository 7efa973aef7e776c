"""What a webhook's URL means, which addresses are public, and how what is sent is signed."""

import hashlib
import hmac
import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console_automation.core.webhooks import (
    is_private_host,
    is_public,
    parse_webhook,
    signature,
)

PUBLIC = (
    "8.8.8.8",
    "93.184.216.34",
    "2606:2800:220:1:248:1893:25c8:1946",
    "64:ff9b::808:808",  # 8.8.8.8, by way of a translator
    "::ffff:8.8.8.8",
)
PRIVATE = (
    "127.0.0.1",
    "127.255.255.254",
    "0.0.0.0",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "100.64.0.1",
    "169.254.169.254",
    "192.0.2.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "fc00::1",
    "fd12:3456::1",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::1",
    "2002:c0a8:101::1",
    "2001:db8::1",
)


@pytest.mark.parametrize("address", PUBLIC)
def test_an_address_of_the_internet_is_public(address: str) -> None:
    assert is_public(address) and not is_private_host(address)


@pytest.mark.parametrize("address", PRIVATE)
def test_an_address_of_this_machine_or_its_neighbours_is_not_public(address: str) -> None:
    assert not is_public(address) and is_private_host(address)


@given(st.ip_addresses(v=4))
def test_an_address_is_as_public_however_it_is_wrapped(address: ipaddress.IPv4Address) -> None:
    number = int(address)
    mapped = ipaddress.IPv6Address((0xFFFF << 32) | number)
    translated = ipaddress.IPv6Address((0x64FF9B << 96) | number)
    relayed = ipaddress.IPv6Address((0x2002 << 112) | (number << 80) | 1)
    wanted = is_public(str(address))
    assert [is_public(str(each)) for each in (mapped, translated, relayed)] == [wanted] * 3


@pytest.mark.parametrize("name", ["localhost", "localhost.", "app.localhost"])
def test_a_name_of_this_machine_tells_by_itself(name: str) -> None:
    assert is_private_host(name)


def test_another_name_does_not_tell_and_no_address_is_not_public() -> None:
    assert not is_private_host("example.org") and not is_public("example.org")


@pytest.mark.parametrize(
    ("url", "origin", "target"),
    [
        ("https://example.org", "https://example.org:443", "/"),
        ("HTTP://Example.ORG:8080/A?b=c#d", "http://example.org:8080", "/A?b=c"),
        ("http://[2606:2800::1]/x", "http://[2606:2800::1]:80", "/x"),
        ("http://a_b-c.example/?", "http://a_b-c.example:80", "/"),
    ],
)
def test_a_url_is_taken_apart(url: str, origin: str, target: str) -> None:
    parsed = parse_webhook(url)
    assert (parsed.origin, parsed.target) == (origin, target)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "visible"),
        ("http://example.org/ä", "visible ASCII"),
        ("http://example.org/a b", "visible ASCII"),
        ("http://example.org/\r\nHost: x", "visible ASCII"),
        ("http://example.org/\t", "visible ASCII"),
        ("http://example.org/" + "x" * 2_000, "at most 2000"),
        ("example.org", "https:// or http://"),
        ("file:///etc/passwd", "https:// or http://"),
        ("http://me:secret@example.org/", "must not hold a user"),
        ("http://example.org@127.0.0.1/", "must not hold a user"),
        ("http:///path", "must name a host"),
        ("http://exa\\mple.org/", "must name a host"),
        ("http://-x.org/", "must name a host"),
        ("http://[fe80::1%25eth0]/", "must name a host"),
        ("http://example.org:99999/", "Port"),
        ("http://example.org:0x50/", "Port"),
        ("http://[::1/", "Invalid IPv6"),
    ],
)
def test_a_url_that_no_webhook_can_go_to_is_refused(url: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_webhook(url)


@given(st.text(max_size=40).map(lambda text: f"http://{text}"))
def test_of_any_url_nothing_gets_into_a_request_but_visible_characters(url: str) -> None:
    try:
        parsed = parse_webhook(url)
    except ValueError:
        return
    line = parsed.host + parsed.target
    assert line.isascii() and line.isprintable() and " " not in line
    assert "@" not in parsed.authority and parsed.target.startswith("/")


def test_a_signature_is_over_the_time_and_the_body() -> None:
    expected = hmac.new(b"key", b'123.{"a": 1}', hashlib.sha256).hexdigest()
    assert signature("key", "123", b'{"a": 1}') == f"sha256={expected}"
