"""The daemon's hold on the launcher: start it, ask it for shims, start it again when it dies."""

import asyncio
import logging
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

from console_automation.shim import launcher

log = logging.getLogger(__name__)

_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 5.0


class Launcher:
    """A running launcher. `failed` is told whenever it had to be started again."""

    def __init__(
        self, *, shim_socket: Path, uses: int, log_file: Path, failed: Callable[[str], None]
    ) -> None:
        self._arguments = (str(shim_socket), str(uses))
        self._log_file = log_file
        self._failed = failed
        self._process: asyncio.subprocess.Process
        self._control: socket.socket
        self._keeper: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Start the launcher and keep one running."""
        await self._start()
        self._keeper = asyncio.create_task(self._keep())

    async def close(self) -> None:
        """Let the launcher end. Idempotent."""
        if self._keeper:
            self._keeper.cancel()
            self._keeper = None
            self._control.close()
            await self._process.wait()

    def fork(self, count: int) -> None:
        """Ask for shims. A launcher that is just being replaced forgets; `failed` says when."""
        try:
            self._control.send(b"+" * count)
        except OSError:
            return

    async def _start(self) -> None:
        ours, theirs = socket.socketpair()
        try:
            with theirs, self._log_file.open("ab") as errors:
                self._process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    *("-I", "-S", launcher.__file__, str(theirs.fileno()), *self._arguments),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=errors,
                    stderr=errors,
                    pass_fds=[theirs.fileno()],
                    cwd="/",
                    start_new_session=True,
                )
        except BaseException:
            ours.close()
            raise
        ours.setblocking(False)
        self._control = ours

    async def _keep(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            began = time.monotonic()
            code = await self._process.wait()
            self._control.close()
            if time.monotonic() - began > _LONGEST_PAUSE:
                pause = _FIRST_PAUSE
            why = f"the launcher ended with {code}"
            while not await self._is_started_again(pause, why):
                pause = min(pause * 2, _LONGEST_PAUSE)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _is_started_again(self, pause: float, why: str) -> bool:
        await asyncio.sleep(pause)
        try:
            await self._start()
        except OSError as error:  # out of processes, memory or descriptors: that passes
            log.warning("%s and cannot be started again yet: %s", why, error)
            return False
        self._failed(f"{why} and was started again")
        return True
