"""The product over HTTP for the public conformance suite, which has no way to send a token.

Everything is the installed product's, its gate's other checks included.
"""

import sys
from pathlib import Path

from starlette.types import Receive, Scope, Send

from console_automation.frontends import daemon, http


class Introduced(http.Gate):
    """The gate, with the token put into every request that comes to it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            token = (b"authorization", self._expected)
            scope = {**scope, "headers": [*scope["headers"], token]}
        await super().__call__(scope, receive, send)


if __name__ == "__main__":
    http.Gate = Introduced  # type: ignore[misc]
    home, port = Path(sys.argv[1]), int(sys.argv[2])
    sys.exit(daemon.run(home, {"http": True, "http_port": port}, ready=None))
