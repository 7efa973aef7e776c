"""A Courier that takes messages nowhere, for tests."""

import asyncio

from console_automation.core.messages import Message
from console_automation.errors import ConsoleAutomationError


class MemoryCourier:
    """Keeps what was delivered, unless it is to fail, or to keep silent."""

    def __init__(self) -> None:
        self.delivered: list[Message] = []
        self.failures: list[ConsoleAutomationError] = []  #: of the next deliveries
        self.attempts = 0
        self.silent: set[str] = set()  #: targets that never answer

    async def deliver(self, message: Message) -> None:
        """Take the message, or do what a test wants instead."""
        self.attempts += 1
        if message.target in self.silent:
            await asyncio.Event().wait()
        if self.failures:
            raise self.failures.pop(0)
        self.delivered.append(message)
