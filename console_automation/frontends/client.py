"""The daemon as a program sees it: questions and answers over one line. Standard library only.

A daemon may be killed at any moment, and jobs do not mind; so neither does this. A question that
changes nothing, or is recognised when it comes again, is put to the next daemon.
"""

from console_automation.frontends import launch
from console_automation.frontends.launch import DaemonUnavailable

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing is slow to import, and every command starts with this
    import socket
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any, Self

_MOST_TRIES = 5


class Refused(Exception):
    """The daemon has refused an operation; `view` is the error result, as the tools give it."""

    def __init__(self, view: "dict[str, Any]") -> None:
        super().__init__(view["error"])
        self.view = view

    @property
    def code(self) -> str:
        """The error's code, such as JOB_NOT_FOUND."""
        return str(self.view["code"])


class Client:
    """A client of whatever daemon serves a state directory; one is started when there is none.

    A daemon that does not answer at all is waited for, and `remark` is told of it.
    """

    def __init__(self, home: str, remark: "Callable[[str], None] | None" = None) -> None:
        self.home = home
        self._remark = remark
        self._line: socket.socket | None = None
        self._is_said = False  #: that the daemon does not answer

    def __enter__(self) -> "Self":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up; a call that is under way is given up."""
        if self._line is not None:
            self._line.close()
            self._line = None

    def call(
        self, operation: str, arguments: "Mapping[str, Any]", *, once: bool = False
    ) -> "dict[str, Any]":
        """Carry out an operation and return its view. `once`: it must not be put to a second daemon.

        Raises Refused, DaemonUnavailable.
        """
        answer = self.ask({"operation": operation, "arguments": arguments}, once=once)
        if "view" not in answer:  # it was too long to be read
            raise Refused({**answer, "success": False, "code": "INVALID_ARGUMENT", "details": {}})
        if answer.get("isError"):
            raise Refused(answer["view"])
        view: dict[str, Any] = answer["view"]
        return view

    def ask(self, request: "Mapping[str, Any]", *, once: bool = False) -> "dict[str, Any]":
        """Put a question and return the answer. Raises DaemonUnavailable."""
        for left in reversed(range(1 if once else _MOST_TRIES)):
            line = self._dialled()
            try:
                return launch.exchange(line, request, self._is_silent)
            except (DaemonUnavailable, OSError) as error:
                self.close()
                if not left:
                    raise DaemonUnavailable(
                        f"the daemon ended while it was asked: {error}"
                    ) from None
        raise AssertionError

    def stream(self, request: "Mapping[str, Any]") -> "Iterator[dict[str, Any]]":
        """Put a question that is answered in many lines. Raises DaemonUnavailable."""
        return launch.exchange_many(self._dialled(), request)

    def _dialled(self) -> "socket.socket":
        if self._line is not None and launch.has_hung_up(self._line):
            self.close()
        if self._line is None:
            self._line = launch.connect(self.home, "cli", self._is_silent)
        return self._line

    def _is_silent(self) -> None:
        """No answer comes: say so once if it is not that the question takes its time."""
        if self._remark and not self._is_said:
            try:
                line = launch.greet(self.home, "api", launch.LOOK_SECONDS)
            except launch.DaemonSilent as silent:
                self._is_said = True
                self._remark(f"{silent}; waiting")
            except DaemonUnavailable:
                pass  # it answers
            else:
                if line:
                    line.close()
