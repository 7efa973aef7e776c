"""What a webhook's URL means, which addresses are public, and how what is sent is signed."""

import hashlib
import hmac
import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

_LONGEST = 2_000
_VISIBLE = re.compile(r"[!-~]+")
_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9.])?")
_PORTS = {"http": 80, "https": 443}
_NAT64 = IPv6Network("64:ff9b::/96")  # such an address stands for the IPv4 address in its end


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookUrl:
    """Where a webhook goes."""

    scheme: str
    host: str  #: a name, or an address without brackets
    port: int
    target: str  #: path and query

    @property
    def authority(self) -> str:
        """Host and port as they stand in a URL."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def origin(self) -> str:
        """The part of the URL that can be told: a token may be in the rest."""
        return f"{self.scheme}://{self.authority}"


def parse_webhook(url: str) -> WebhookUrl:
    """Return what a URL says. Raises ValueError when a webhook cannot go there."""
    if len(url) > _LONGEST or not _VISIBLE.fullmatch(url):
        raise ValueError(
            f"must be a URL of at most {_LONGEST} visible ASCII characters; write others as %XX, and a"
            " host's name as xn--…"
        )
    parts = urlsplit(url)
    if parts.scheme not in _PORTS:
        raise ValueError("must begin with https:// or http://")
    if "@" in parts.netloc:
        raise ValueError("must not hold a user or a password; put a token into its path instead")
    host = parts.hostname or ""
    if not _NAME.fullmatch(host) and address_in(host) is None:
        raise ValueError("must name a host, as in https://example.org/path")
    port = _PORTS[parts.scheme] if parts.port is None else parts.port
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return WebhookUrl(scheme=parts.scheme, host=host, port=port, target=target)


def address_in(host: str) -> IPv4Address | IPv6Address | None:
    """Return the address that is written as a host, None for a name."""
    try:
        address = ip_address(host)
    except ValueError:
        return None
    return None if "%" in host else address


def is_private_host(host: str) -> bool:
    """Whether a URL's host tells by itself that it is no public one."""
    name = host.rstrip(".")
    return name == "localhost" or name.endswith(".localhost") or not is_public(name, unknown=True)


def is_public(address: str, *, unknown: bool = False) -> bool:
    """Whether an address belongs to the internet and not to this machine or its neighbours.

    `unknown` is the answer for what is no address.
    """
    try:
        found = _meant(ip_address(address))
    except ValueError:
        return unknown
    if isinstance(found, IPv6Address) and found.is_site_local:
        return False
    return found.is_global and not (found.is_multicast or found.is_reserved)


def _meant(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Return the IPv4 address that an IPv6 address stands for, else the address itself."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or address


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """Return what proves that a body was sent by somebody who knows the secret, and when."""
    signed = timestamp.encode() + b"." + body
    return "sha256=" + hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
