"""The ssh client, called as sessions call it, against a real server on loopback."""

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pexpect
import pytest

from console_automation.core.ssh import (
    ENVIRONMENT,
    KnownHosts,
    SshEnd,
    SshTarget,
    ssh_argv,
    ssh_ended,
)
from tests.integration.sshd import Sshd, free_port, make_key, running_sshd
from tests.waiting import PATIENCE, until_now

PASSPHRASE = "correct horse battery"


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Sshd]:
    with running_sshd(tmp_path / "sshd") as server:
        yield server


@pytest.fixture
def target(sshd: Sshd) -> SshTarget:
    return SshTarget(
        host=sshd.host,
        port=sshd.port,
        user=sshd.user,
        identity_file=str(sshd.identity_file),
        known_hosts_file=str(sshd.known_hosts_file),
        connect_timeout=PATIENCE,
    )


class Client:
    """An ssh client on a terminal."""

    def __init__(self, target: SshTarget, command: str | None, config: Path | str) -> None:
        program, *arguments = ssh_argv(target, command)
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        self.child = pexpect.spawn(
            program,
            ["-F", str(config), *arguments],  # the user's own configuration is not the test's
            env={**kept, **ENVIRONMENT, "TERM": "dumb", "DISPLAY": ":7", "SSH_ASKPASS": "false"},
            encoding="utf-8",
            timeout=PATIENCE,
        )
        self.child.delaybeforesend = None
        self.printed = ""

    def see(self, pattern: str) -> None:
        self.child.expect(pattern)
        self.printed += self.child.before + self.child.after

    def send(self, line: str) -> None:
        self.child.sendline(line)

    def end(self) -> tuple[int | None, SshEnd]:
        """Wait for the client's end; return its exit code and what that is told to mean."""
        self.child.expect(pexpect.EOF)
        self.printed += self.child.before
        self.child.wait()
        return self.child.exitstatus, ssh_ended(self.child.exitstatus, self.printed)

    def close(self) -> None:
        self.child.close(force=True)


Connect = Callable[..., Client]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Open clients that are gone when the test is over."""
    clients: list[Client] = []

    def client(
        target: SshTarget, command: str | None = None, *, config: Path | str = "/dev/null"
    ) -> Client:
        clients.append(Client(target, command, config))
        return clients[-1]

    yield client
    for each in clients:
        each.close()


def at_a_prompt(client: Client) -> Client:
    """The remote shell has done a command; what it was sent is not what it prints."""
    client.send("echo at-the-$((6*7))")
    client.see("at-the-42")
    return client


# -- coming and going ------------------------------------------------------------------------------


def test_a_login_shell_has_a_terminal_and_its_exit_code_is_the_clients(
    target: SshTarget, connect: Connect
) -> None:
    client = at_a_prompt(connect(target))
    client.send("tty && echo on-a-$((6*7))")
    client.see("on-a-42")
    client.send("exit 3")
    assert client.end() == (3, SshEnd.EXITED)


def test_a_remote_command_runs_instead_of_the_login_shell(
    target: SshTarget, connect: Connect
) -> None:
    client = at_a_prompt(connect(target, "exec sh -i"))
    client.send("exit 3")
    assert client.end() == (3, SshEnd.EXITED)


def test_a_remote_command_that_looks_like_an_option_is_a_command(
    target: SshTarget, connect: Connect
) -> None:
    client = connect(target, "-V")
    code, end = client.end()
    assert code and end is SshEnd.EXITED, "the remote shell has no such command"
    assert "OpenSSH" not in client.printed, "the client has not shown its version"


@pytest.mark.parametrize("command", ["exit 255", "kill -9 $$"])
def test_a_remote_end_with_255_is_an_exit(
    target: SshTarget, connect: Connect, command: str
) -> None:
    client = at_a_prompt(connect(target, "exec sh -i"))
    client.send(command)
    assert client.end() == (255, SshEnd.EXITED)


def test_no_sequence_of_input_ends_the_client_itself(target: SshTarget, connect: Connect) -> None:
    client = at_a_prompt(connect(target, "exec sh -i"))
    client.send("")
    client.send("~.")
    at_a_prompt(client)


# -- what goes wrong -------------------------------------------------------------------------------


def test_a_broken_connection_is_told_as_lost_and_the_next_session_is_fine(
    sshd: Sshd, target: SshTarget, connect: Connect
) -> None:
    client = at_a_prompt(connect(target, "exec sh -i"))
    sshd.kill_connections()
    assert client.end() == (255, SshEnd.LOST)
    at_a_prompt(connect(target, "exec sh -i"))


def test_a_port_that_nobody_listens_on_is_told_as_unreachable(
    target: SshTarget, connect: Connect
) -> None:
    client = connect(replace(target, port=free_port()))
    assert client.end() == (255, SshEnd.UNREACHABLE)


def test_a_name_that_nobody_has_is_told_as_unreachable(target: SshTarget, connect: Connect) -> None:
    client = connect(replace(target, host="nobody.invalid"))
    assert client.end() == (255, SshEnd.UNREACHABLE)


def test_a_key_that_is_not_let_in_is_told_as_denied(
    target: SshTarget, connect: Connect, tmp_path: Path
) -> None:
    make_key(tmp_path / "stranger")
    client = connect(replace(target, identity_file=str(tmp_path / "stranger")))
    assert client.end() == (255, SshEnd.DENIED)


# -- host keys -------------------------------------------------------------------------------------


def test_a_strict_policy_refuses_an_unknown_host_and_takes_a_known_one(
    sshd: Sshd, target: SshTarget, connect: Connect
) -> None:
    strict = replace(target, known_hosts_policy=KnownHosts.STRICT)
    assert connect(strict).end() == (255, SshEnd.UNTRUSTED)
    assert not sshd.known_hosts_file.exists()
    sshd.know()
    assert connect(strict, "exit 3").end() == (3, SshEnd.EXITED)


def test_a_new_key_is_kept_and_a_changed_one_refused(
    sshd: Sshd, target: SshTarget, connect: Connect, tmp_path: Path
) -> None:
    assert connect(target, "exit 3").end() == (3, SshEnd.EXITED)
    kept = sshd.known_hosts_file.read_text()
    assert sshd.host_key in kept
    make_key(tmp_path / "other")
    other = " ".join((tmp_path / "other.pub").read_text().split()[:2])
    sshd.known_hosts_file.write_text(kept.replace(sshd.host_key, other))
    assert connect(target, "exit 3").end() == (255, SshEnd.UNTRUSTED)


def test_an_unknown_key_is_asked_about_on_the_terminal(
    sshd: Sshd, target: SshTarget, connect: Connect
) -> None:
    asking = replace(target, known_hosts_policy=KnownHosts.ASK)
    client = connect(asking, "exit 3")
    client.see(r"continue connecting \(yes/no/\[fingerprint\]\)\?")
    client.send("no")
    assert client.end() == (255, SshEnd.UNTRUSTED)
    client = connect(asking, "exit 3")
    client.see(r"\?")
    client.send("yes")
    assert client.end() == (3, SshEnd.EXITED)
    assert sshd.host_key in sshd.known_hosts_file.read_text()


def test_without_checking_no_key_is_looked_up_or_kept(
    sshd: Sshd, target: SshTarget, connect: Connect, tmp_path: Path
) -> None:
    make_key(tmp_path / "other")
    wrong = f"[{sshd.host}]:{sshd.port} {(tmp_path / 'other.pub').read_text()}"
    sshd.known_hosts_file.write_text(wrong)
    unchecked = replace(target, known_hosts_policy=KnownHosts.OFF)
    assert connect(unchecked, "exit 3").end() == (3, SshEnd.EXITED)
    assert sshd.known_hosts_file.read_text() == wrong


def test_a_known_hosts_file_may_have_a_space_in_its_name(
    sshd: Sshd, target: SshTarget, connect: Connect, tmp_path: Path
) -> None:
    file = tmp_path / "known hosts"
    assert connect(replace(target, known_hosts_file=str(file)), "exit 3").end()[0] == 3
    assert sshd.host_key in file.read_text()


# -- secrets ---------------------------------------------------------------------------------------


def test_a_passphrase_is_typed_at_sshs_own_prompt_and_stands_nowhere_else(
    sshd: Sshd, target: SshTarget, connect: Connect
) -> None:
    identity = sshd.new_identity("locked", passphrase=PASSPHRASE)
    client = connect(replace(target, identity_file=str(identity)), "exec sh -i")
    client.see("Enter passphrase for key .*:")
    client.send(PASSPHRASE)
    client.see("[#$] ")  # what is typed while ssh takes the terminal back is thrown away
    at_a_prompt(client)
    assert PASSPHRASE not in client.printed
    assert PASSPHRASE not in sshd.log.read_text()
    assert str(identity) in command_lines()
    assert PASSPHRASE not in command_lines()


def command_lines() -> str:
    """The arguments of every process that there is."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(file.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue  # it has just ended
    return "\n".join(found)


# -- jump hosts ------------------------------------------------------------------------------------

GATE = """
Host gate
    HostName {host}
    Port {port}
    User {user}
    IdentityFile "{identity}"
    UserKnownHostsFile "{known}"
    StrictHostKeyChecking yes
"""


def test_a_jump_host_has_its_keys_from_the_users_configuration(
    sshd: Sshd, target: SshTarget, connect: Connect, tmp_path: Path
) -> None:
    sshd.know()
    config = tmp_path / "config"
    config.write_text(
        GATE.format(
            host=sshd.host,
            port=sshd.port,
            user=sshd.user,
            identity=sshd.identity_file,
            known=sshd.known_hosts_file,
        )
    )
    through = replace(target, jump_host="gate")
    client = at_a_prompt(connect(through, "exec sh -i", config=config))
    logins = sshd.log.read_text().count("Accepted publickey")
    assert logins == 2, "one at the gate, one behind it"
    client.send("exit 3")
    assert client.end() == (3, SshEnd.EXITED)


def test_a_jump_host_that_cannot_be_reached_is_told(
    sshd: Sshd, target: SshTarget, connect: Connect
) -> None:
    client = connect(replace(target, jump_host=f"{sshd.host}:{free_port()}"))
    assert client.end() == (255, SshEnd.UNREACHABLE)


# -- what ssh makes of it --------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["build.example.org", "_x", "10.0.0.1", "::1"])
@pytest.mark.parametrize("user", ["ada", "a@corp.example", "CORP\\ada"])
def test_ssh_takes_host_and_user_for_what_they_are(host: str, user: str) -> None:
    program, *arguments = ssh_argv(SshTarget(host=host, user=user, port=2222), None)
    done = subprocess.run(
        [program, "-F", "/dev/null", "-G", *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
    )
    seen = dict(re.findall(r"^(\S+) (.*)$", done.stdout, re.MULTILINE))
    assert (seen["hostname"], seen["user"], seen["port"]) == (host, user, "2222")
    assert (seen["escapechar"], seen["controlmaster"]) == ("none", "false")
    assert "controlpath" not in seen


def test_the_server_ends_with_everything_that_came_to_be_through_it(
    tmp_path: Path, connect: Connect
) -> None:
    with running_sshd(tmp_path / "short") as server:
        client = connect(
            SshTarget(
                host=server.host,
                port=server.port,
                identity_file=str(server.identity_file),
                known_hosts_file=str(server.known_hosts_file),
            )
        )
        at_a_prompt(client)
        started = server.connections()
        assert started
    until_now(lambda: not any(process.is_running() for process in started), "their end")
