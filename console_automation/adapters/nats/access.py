"""Where the servers are, and what they let us in with."""

import ssl
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Whoever names an authority or a certificate talks to no server without TLS."""

    servers: tuple[str, ...]
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    nkey_seed_file: str | None = None
    tls_ca: str | None = None  #: None: the authorities that the system trusts
    tls_certificate: str | None = None
    tls_key: str | None = None

    @property
    def wants_tls(self) -> bool:
        """Whether a server that speaks plainly is not the one that is meant."""
        named = self.tls_ca is not None or self.tls_certificate is not None
        return named or any(server.startswith("tls://") for server in self.servers)

    def options(self) -> dict[str, Any]:
        """Return what the client is to connect with; the files are read each time, so they may change."""
        found: dict[str, Any] = {"servers": list(self.servers)}
        if self.user is not None:
            found |= {"user": self.user, "password": self.password}
        if self.nkey_seed_file is not None:
            found["nkeys_seed"] = self.nkey_seed_file
        if self.wants_tls:
            found["tls"] = ssl.create_default_context(cafile=self.tls_ca)
            if self.tls_certificate is not None:
                found["tls"].load_cert_chain(self.tls_certificate, self.tls_key)
        return found
