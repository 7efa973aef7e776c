"""Sessions on other machines: how the system's ssh client is called, and what its end means.

The client asks for passwords, passphrases and unknown host keys on the session's own terminal, and
is answered there by input. Nothing that is secret is ever part of its arguments.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from console_automation.core.text import one_line
from console_automation.errors import BadRequest


class KnownHosts(StrEnum):
    """What happens when the host shows a key that is not known yet."""

    ASK = "ask"  #: ssh asks on the terminal, and the client answers by input
    ACCEPT_NEW = "accept_new"  #: an unknown key is kept, a changed one is refused
    STRICT = "strict"  #: only a key that is already known is accepted
    OFF = "off"  #: any key is accepted, none is looked up or kept: nothing proves which host it is


@dataclass(frozen=True, slots=True, kw_only=True)
class SshTarget:
    """Where a session is to be; what is None is decided by the user's own ssh configuration."""

    host: str
    port: int | None = None
    user: str | None = None
    identity_file: str | None = None
    #: as ssh -J takes it, [user@]host[:port], several separated by commas
    jump_host: str | None = None
    known_hosts_policy: KnownHosts = KnownHosts.ACCEPT_NEW
    known_hosts_file: str | None = None
    connect_timeout: float = 15.0


#: What the client's environment has besides: without it a graphical dialogue could ask for the
#: password, on a screen that no caller sees.
ENVIRONMENT: Mapping[str, str] = MappingProxyType({"SSH_ASKPASS_REQUIRE": "never"})

_ALWAYS = (
    "EscapeChar=none",  # every byte of input is for the remote side
    "ServerAliveInterval=15",  # a dead line is noticed after three of them
    "ServerAliveCountMax=3",
    "ControlPath=none",  # a shared connection would end when somebody else's session does
    "LogLevel=INFO",  # what ssh_ended reads
)
_CHECKING = {
    KnownHosts.ASK: "ask",
    KnownHosts.ACCEPT_NEW: "accept-new",
    KnownHosts.STRICT: "yes",
    KnownHosts.OFF: "no",
}


def ssh_argv(target: SshTarget, remote_command: str | None) -> tuple[str, ...]:
    """Return the call of ssh that opens a terminal there, for the login shell or for a command.

    Raises BadRequest for what ssh, or a shell that ssh starts, could take for something else.
    """
    _check(target, remote_command)
    options = [*_ALWAYS, f"ConnectTimeout={max(1, math.ceil(target.connect_timeout))}"]
    options += _host_key_options(target)
    argv = ["ssh", "-tt"]
    if target.identity_file is not None:
        options.append("IdentitiesOnly=yes")
        argv += ["-i", target.identity_file]
    for option in options:
        argv += ["-o", option]
    if target.port is not None:
        argv += ["-p", str(target.port)]
    if target.user is not None:
        argv += ["-l", target.user]
    if target.jump_host is not None:
        argv += ["-J", target.jump_host]
    argv += ["--", target.host]
    return (*argv, remote_command) if remote_command is not None else tuple(argv)


def _host_key_options(target: SshTarget) -> list[str]:
    options = [f"StrictHostKeyChecking={_CHECKING[target.known_hosts_policy]}"]
    if target.known_hosts_policy is KnownHosts.OFF:
        return [*options, "UserKnownHostsFile=/dev/null", "GlobalKnownHostsFile=/dev/null"]
    if target.known_hosts_file is not None:
        options.append(f'UserKnownHostsFile="{target.known_hosts_file}"')
    return options


# -- what may be asked for -------------------------------------------------------------------------

# Lists of what is allowed: host and user reach shells, through ProxyCommand, ProxyJump and Match exec.
_NAME = r"[A-Za-z0-9_][A-Za-z0-9._-]*"
_ADDRESS_6 = r"(?=[^:]*:[^:]*:)[0-9A-Fa-f:.]+"
_HOST = re.compile(rf"{_NAME}|{_ADDRESS_6}(?:%[A-Za-z0-9._-]+)?")
_USER = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._@+\\-]*[A-Za-z0-9._@+-])?")
_JUMP = re.compile(rf"(?:[A-Za-z0-9_][A-Za-z0-9._@+-]*@)?(?:{_NAME}|\[{_ADDRESS_6}\])(?::[0-9]+)?")
# ssh puts other text for % and ${; a quotation mark would end that of an option's value.
_NOT_IN_A_PATH = re.compile(r"[\x00-\x1f\x7f\"%]|\$\{")


def _check(target: SshTarget, remote_command: str | None) -> None:
    if not _HOST.fullmatch(target.host):
        raise _refusal(
            "host",
            "is not a host name or address",
            target.host,
            "Give one by itself; a user goes into user, a port into port.",
        )
    if target.port is not None and not 1 <= target.port <= 65_535:
        raise _refusal("port", "is not a port", target.port, "Give a number from 1 to 65535.")
    if target.user is not None and not _USER.fullmatch(target.user):
        raise _refusal(
            "user",
            "is not a user name",
            target.user,
            "Give letters, digits and . _ @ + - \\ alone, with a letter, digit or _ first.",
        )
    if target.jump_host is not None and not all(
        _JUMP.fullmatch(hop) for hop in target.jump_host.split(",")
    ):
        raise _refusal(
            "jumpHost",
            "is not a jump host",
            target.jump_host,
            "Give [user@]host[:port], several separated by commas, an IPv6 address in brackets.",
        )
    _check_path("identityFile", target.identity_file)
    _check_path("knownHostsFile", target.known_hosts_file)
    if remote_command is not None and "\0" in remote_command:
        raise BadRequest(
            f"The remote command contains a NUL character ({one_line(repr(remote_command))}). "
            "Give the command without it.",
            field="command",
        )


def _check_path(field: str, path: str | None) -> None:
    if path is not None and (not path or _NOT_IN_A_PATH.search(path)):
        raise _refusal(
            field,
            "is not a path that ssh takes as it is",
            path,
            'Give a path without control characters, ", % and ${.',
        )


def _refusal(field: str, fact: str, value: Any, fix: str) -> BadRequest:
    name = f"options.ssh.{field}"
    return BadRequest(f"{name} {fact} (it was {one_line(repr(value))}). {fix}", field=name)


# -- what the end means ----------------------------------------------------------------------------


class SshEnd(StrEnum):
    """Why an ssh client has ended."""

    EXITED = "exited"  #: the shell or command on the host ended; the exit code is its own
    LOST = "lost"  #: the connection was there and broke
    UNREACHABLE = "unreachable"  #: no connection came to be
    DENIED = "denied"  #: the host was reached and did not accept the user
    UNTRUSTED = "untrusted"  #: the host's key is not known, or is not the known one
    REFUSED = "refused"  #: ssh itself did not want to: its options or files, or no common algorithm
    UNKNOWN = "unknown"  #: the client was ended from outside, or nobody saw its end

    @property
    def advice(self) -> str:
        """What the caller can do next."""
        return _ADVICE[self]


_ADVICE = {
    SshEnd.EXITED: "Read the exit code: 255 is also what a remote command ended by a signal gives.",
    SshEnd.LOST: "Open a new session to reconnect. What ran there was hung up, or goes on unseen: "
    "look before you repeat it.",
    SshEnd.UNREACHABLE: "Check host, port and network, then open a new session.",
    SshEnd.DENIED: "Give another user or identity file, or type the right password in a new session.",
    SshEnd.UNTRUSTED: "Find out which key the host has, put it into the known-hosts file, "
    "then open a new session.",
    SshEnd.REFUSED: "Read ssh's message in the output, put right what it names, "
    "then open a new session.",
    SshEnd.UNKNOWN: "Open a new session, and look what is still running there.",
}

# Each is looked for at the end of a line: a prompt without a line end may stand before it.
_MESSAGES = tuple(
    (re.compile(rf"{pattern}$"), end)
    for pattern, end in (
        (r"Connection to \S+ closed by remote host\.", SshEnd.LOST),
        (r"Timeout, server \S+ not responding\.", SshEnd.LOST),
        (r"client_loop: send disconnect: .+", SshEnd.LOST),
        (r"Read from remote host \S+: .+", SshEnd.LOST),
        (r"(?:packet_write_wait|ssh_dispatch_run_fatal): .+", SshEnd.LOST),
        (r"Could not resolve hostname .+", SshEnd.UNREACHABLE),
        (r"connect to host \S+ port \d+: .+", SshEnd.UNREACHABLE),
        (r"Connection (?:closed|reset) by .+ port \d+", SshEnd.UNREACHABLE),
        (r"Connection (?:to|with) \S+(?: port \d+)? timed out", SshEnd.UNREACHABLE),
        (r"kex_exchange_identification: .+", SshEnd.UNREACHABLE),
        (r"Connection timed out during banner exchange", SshEnd.UNREACHABLE),
        (r"\S+: Permission denied \([a-z0-9,-]+\)\.", SshEnd.DENIED),
        (r"Too many authentication failures", SshEnd.DENIED),
        (r"Received disconnect from .+", SshEnd.LOST),
        (r"Host key verification failed\.", SshEnd.UNTRUSTED),
        (r"Unable to negotiate with .+", SshEnd.REFUSED),
        (r"terminating, \d+ bad configuration options", SshEnd.REFUSED),
        (r"Bad owner or permissions on .+", SshEnd.REFUSED),
    )
)
#: Says which connection is over, not why; why stands above it.
_FAREWELL = re.compile(
    r"(?:Connection to (?P<host>\S+) closed\.|Disconnected from .+"
    r"|Connection (?:closed|reset) by (?:UNKNOWN|\S+) port \d+)$"
)

_LONGEST = 400  # characters; ssh says nothing longer, and the remote side may


def ssh_ended(exit_code: int | None, tail: str) -> SshEnd:
    """Return why a client that was called by `ssh_argv` has ended.

    `tail` is the end of what it printed. ssh exits with 255 when it fails, and so may the remote
    shell: only ssh's own words, as the very last ones, tell the two apart.
    """
    if exit_code is None:
        return SshEnd.UNKNOWN
    if exit_code != 255:
        return SshEnd.EXITED
    lines = [line.strip()[-_LONGEST:] for line in tail.splitlines() if line.strip()]
    if not lines:
        return SshEnd.EXITED
    last = _meaning(lines[-1])
    farewell = _FAREWELL.search(lines[-1])
    if farewell and len(lines) > 1:
        before = _meaning(lines[-2])
        return (before if _belong(farewell, lines[-2]) else None) or last or SshEnd.EXITED
    return last or SshEnd.EXITED


def _meaning(line: str) -> SshEnd | None:
    return next((end for pattern, end in _MESSAGES if pattern.search(line)), None)


def _belong(farewell: re.Match[str], line: str) -> bool:
    """Whether the line is this client's: after a login it says in two ways only that it lost."""
    host = farewell["host"]
    lost = (f"Connection to {host} closed by remote host.", f"Read from remote host {host}: ")
    return host is None or any(words in line for words in lost)
