"""Guards written in Python, each asked in a process of its own: nothing of a user's is imported here."""

import asyncio
import json
import logging
import sys
from collections.abc import Mapping
from typing import Any

log = logging.getLogger(__name__)

_SECONDS = 10.0
_AT_ONCE = 8  #: guards that are asked; others wait for their turn


class ProcessGuards:
    """Asks `FILE.py:FUNCTION` by way of `console_automation.typed`."""

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def agrees(self, guard: str, question: Mapping[str, Any]) -> bool:
        """Ask a guard; one that fails, or does not answer in ten seconds, does not agree."""
        async with self._turns:
            return await self._asked(guard, question)

    async def _asked(self, guard: str, question: Mapping[str, Any]) -> bool:
        file, _, function = guard.rpartition(":")
        words = ("-m", "console_automation.typed", "guard", file, function)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *words,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            data = json.dumps(dict(question)).encode()
            async with asyncio.timeout(_SECONDS):
                out, err = await process.communicate(data)
        except TimeoutError:
            log.warning("the guard %s did not answer", guard)
            return False
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            log.warning("the guard %s failed: %s", guard, err.decode(errors="replace")[-500:])
        return process.returncode == 0 and out.strip() == b"true"
