"""The seal on everything that gateways and workers write for each other: HMAC-SHA256 under the cluster's
key, over what it is, where it stands, and every byte. Whoever can write to NATS but has not the key can
destroy, and put back what was there before, but not have anything new run.
"""

import hashlib
import hmac

SHORTEST_KEY = 16  #: characters
_DIGITS = 64


class Forged(Exception):
    """The seal is not ours: whoever wrote this does not have the cluster's key."""


def seal(key: bytes, place: str, body: bytes) -> bytes:
    """Return the body under a seal that holds in this place alone."""
    return _mac(key, place, body) + body


def unseal(key: bytes, place: str, sealed: bytes) -> bytes:
    """Return the body. Raises Forged."""
    mac, body = sealed[:_DIGITS], sealed[_DIGITS:]
    if not hmac.compare_digest(mac, _mac(key, place, body)):
        raise Forged(place)
    return body


def _mac(key: bytes, place: str, body: bytes) -> bytes:
    name = place.encode()
    framed = len(name).to_bytes(4, "big") + name + body
    return hmac.new(key, framed, hashlib.sha256).hexdigest().encode()
