"""The tokens of principals other than the local user, in `tokens.json` of a state directory.

A token is 256 random bits and is shown once; the file has its SHA-256, which for a secret of that size
needs no salt and no stretching.
"""

import fcntl
import hashlib
import hmac
import json
import os
import re
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from console_automation.core.access import ADMIN, LOCAL, Principal
from console_automation.errors import BadRequest

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}")
_WORD = re.compile(r"[A-Za-z0-9_.:/*-]{1,64}")


class Tokens:
    """Reads the file again whenever it has changed, so that a revoked token is so at once."""

    def __init__(self, home: Path) -> None:
        self._path = home / "tokens.json"
        self._stamp: tuple[int, int, int] | None = None
        self._entries: Mapping[str, Any] = {}

    def named(self, name: str) -> Principal | None:
        """Return a principal as it stands now, None for one whose token is revoked or expired."""
        if name == LOCAL.name:
            return LOCAL
        return _principal(name, self._current().get(name))

    def bearer(self, token: bytes) -> Principal | None:
        """Return whose token this is."""
        digest = hashlib.sha256(token).hexdigest()
        found = None
        for name, entry in self._current().items():
            if hmac.compare_digest(str(entry.get("sha256")), digest):
                found = _principal(name, entry)
        return found

    def add(
        self, name: str, *, roles: Iterable[str], scopes: Iterable[str], lifetime: float | None
    ) -> str:
        """Make a token for a new principal and return it; `lifetime` is in seconds.

        Raises BadRequest.
        """
        if not _NAME.fullmatch(name) or name == LOCAL.name:
            raise BadRequest(
                f"name {name!r}: use up to 64 letters, digits and _.@-; {LOCAL.name!r} is the user of"
                " this machine.",
                field="name",
            )
        words = {"roles": sorted(set(roles)), "scopes": sorted(set(scopes))}
        for field, given in words.items():
            for word in given:
                if not _WORD.fullmatch(word) or word == ADMIN:
                    raise BadRequest(f"{field}: {word!r} cannot be one.", field=field)
        token = secrets.token_urlsafe(32)
        expires = None if lifetime is None else time.time() + lifetime
        digest = hashlib.sha256(token.encode()).hexdigest()
        with self._changing() as entries:
            if name in entries:
                raise BadRequest(f"{name} has a token already; revoke it first.", field="name")
            entries[name] = {"sha256": digest, **words, "expires": expires}
        return token

    def revoke(self, name: str) -> bool:
        """Forget a principal; False when there is none of that name."""
        with self._changing() as entries:
            return entries.pop(name, None) is not None

    def all(self) -> Mapping[str, Mapping[str, Any]]:
        """Return the principals by name: roles, scopes, and when each expires, in epoch seconds."""
        return {
            name: {field: value for field, value in entry.items() if field != "sha256"}
            for name, entry in self._current().items()
        }

    def _current(self) -> Mapping[str, Any]:
        """Return what the file has. One that makes no sense lets nobody in."""
        try:
            status = self._path.stat()
        except FileNotFoundError:
            self._stamp, self._entries = None, {}
            return self._entries
        stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
        if stamp != self._stamp:
            self._stamp, self._entries = stamp, _read(self._path) or {}
        return self._entries

    @contextmanager
    def _changing(self) -> Iterator[dict[str, Any]]:
        """Give what the file has to be changed, and write it; one at a time, or a revoked token might
        come back."""
        lock = os.open(
            self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            entries = _read(self._path) if self._path.exists() else {}
            if entries is None:
                raise BadRequest(
                    f"{self._path} makes no sense; mend it, or remove it to begin anew."
                )
            yield entries
            self._write(entries)
        finally:
            os.close(lock)

    def _write(self, entries: Mapping[str, Any]) -> None:
        fresh = self._path.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(entries, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        fresh.rename(self._path)


def _read(path: Path) -> dict[str, Any] | None:
    """Return the principals by name, None when the file makes no sense."""
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(entries, dict) or not all(isinstance(e, dict) for e in entries.values()):
        return None
    return entries


def _principal(name: str, entry: Mapping[str, Any] | None) -> Principal | None:
    if entry is None:
        return None
    expires = entry.get("expires")
    if expires is not None and not (isinstance(expires, int | float) and time.time() < expires):
        return None
    roles, scopes = entry.get("roles", []), entry.get("scopes", [])
    # Nobody becomes an admin by this file: that is who can write it.
    return Principal(name=name, roles=frozenset(roles) - {ADMIN}, scopes=frozenset(scopes))
