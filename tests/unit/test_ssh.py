"""How the ssh client is called, what is refused for it, and what its end means."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console_automation.core.ssh import KnownHosts, SshEnd, SshTarget, ssh_argv, ssh_ended
from console_automation.errors import BadRequest


def options_of(argv: tuple[str, ...]) -> dict[str, str]:
    """What stands behind each -o."""
    given = [argv[at + 1] for at, word in enumerate(argv) if word == "-o"]
    return dict(option.split("=", 1) for option in given)


# -- the call --------------------------------------------------------------------------------------


def test_a_host_alone_leaves_the_rest_to_the_users_configuration() -> None:
    argv = ssh_argv(SshTarget(host="build"), None)
    assert argv[:2] == ("ssh", "-tt")
    assert argv[-2:] == ("--", "build")
    assert not {"-p", "-l", "-i", "-J"} & set(argv)
    assert "UserKnownHostsFile" not in options_of(argv)


def test_every_part_of_a_target_has_its_place_before_the_host() -> None:
    target = SshTarget(
        host="build",
        port=2222,
        user="ada",
        identity_file="/keys/a b",
        jump_host="me@gate:22,[::1]:2200",
    )
    argv = ssh_argv(target, "exec sh -i")
    words = " ".join(argv)
    for part in ("-i /keys/a b", "-p 2222", "-l ada", "-J me@gate:22,[::1]:2200"):
        assert part in words.partition(" -- ")[0]
    assert argv[-3:] == ("--", "build", "exec sh -i")
    assert options_of(argv)["IdentitiesOnly"] == "yes"


def test_a_dead_line_is_noticed_and_no_byte_of_input_is_a_command_for_the_client() -> None:
    options = options_of(ssh_argv(SshTarget(host="build", connect_timeout=2.5), None))
    assert int(options["ServerAliveInterval"]) * int(options["ServerAliveCountMax"]) <= 60
    assert options["EscapeChar"] == "none"
    assert options["ConnectTimeout"] == "3"


@pytest.mark.parametrize(
    ("policy", "checking"),
    [
        (KnownHosts.ASK, "ask"),
        (KnownHosts.ACCEPT_NEW, "accept-new"),
        (KnownHosts.STRICT, "yes"),
        (KnownHosts.OFF, "no"),
    ],
)
def test_a_policy_is_ssh_s_own_checking(policy: KnownHosts, checking: str) -> None:
    target = SshTarget(host="build", known_hosts_policy=policy)
    assert options_of(ssh_argv(target, None))["StrictHostKeyChecking"] == checking


def test_new_keys_are_kept_and_changed_ones_refused_unless_asked_otherwise() -> None:
    options = options_of(ssh_argv(SshTarget(host="build"), None))
    assert options["StrictHostKeyChecking"] == "accept-new"


def test_a_known_hosts_file_is_used_unless_no_key_is_looked_up() -> None:
    target = SshTarget(host="build", known_hosts_file="/my keys/hosts")
    assert options_of(ssh_argv(target, None))["UserKnownHostsFile"] == '"/my keys/hosts"'
    off = SshTarget(host="a", known_hosts_file="/k", known_hosts_policy=KnownHosts.OFF)
    assert options_of(ssh_argv(off, None))["UserKnownHostsFile"] == "/dev/null"


# -- what is refused -------------------------------------------------------------------------------

STRANGE = [
    "",
    "-oProxyCommand=x",
    "a b",
    "a\n",
    "a\x00",
    "\x1b[2J",
    "$(id)",
    "a;id",
    "`id`",
    "a|b",
    "a'b",
]


@pytest.mark.parametrize("host", [*STRANGE, "ada@build", "ssh://build", "[::1]", "a:22", "build%h"])
def test_what_is_not_a_host_is_refused(host: str) -> None:
    refused_for("host", SshTarget(host=host))


@pytest.mark.parametrize("user", [*STRANGE, "a\\", "@b", "%r", "a/b"])
def test_what_is_not_a_user_is_refused(user: str) -> None:
    refused_for("user", SshTarget(host="build", user=user))


@pytest.mark.parametrize("jump", [*STRANGE, "gate,", "-x@gate", "gate:", "gate:x", "::1", "a\\b@c"])
def test_what_is_not_a_jump_host_is_refused(jump: str) -> None:
    refused_for("jumpHost", SshTarget(host="build", jump_host=jump))


@pytest.mark.parametrize("path", ["", "/a\nb", '/a"b', "/a%d", "/${HOME}/a"])
def test_a_path_that_ssh_would_read_otherwise_is_refused(path: str) -> None:
    refused_for("identityFile", SshTarget(host="build", identity_file=path))
    refused_for("knownHostsFile", SshTarget(host="build", known_hosts_file=path))


@pytest.mark.parametrize("port", [0, -1, 65_536])
def test_what_is_not_a_port_is_refused(port: int) -> None:
    refused_for("port", SshTarget(host="build", port=port))


def test_a_remote_command_with_a_nul_is_refused() -> None:
    with pytest.raises(BadRequest) as caught:
        ssh_argv(SshTarget(host="build"), "a\0b")
    assert caught.value.details == {"field": "command"}


def refused_for(field: str, target: SshTarget) -> None:
    with pytest.raises(BadRequest) as caught:
        ssh_argv(target, None)
    error = caught.value
    assert error.details == {"field": f"options.ssh.{field}"}
    assert error.message.isprintable() and "(it was " in error.message and "Give " in error.message


@pytest.mark.parametrize(
    "host", ["build", "build.example.org", "a-b_c.", "10.0.0.1", "::1", "fe80::1%eth0", "x1"]
)
def test_hosts_of_every_usual_kind_are_taken(host: str) -> None:
    assert ssh_argv(SshTarget(host=host), None)[-1] == host


@pytest.mark.parametrize("user", ["root", "ada.l", "_svc", "a@corp.example", "CORP\\ada", "a-b"])
def test_users_of_every_usual_kind_are_taken(user: str) -> None:
    assert user in ssh_argv(SshTarget(host="build", user=user), None)


@given(st.text(max_size=12), st.text(max_size=12), st.text(max_size=12))
def test_whatever_is_taken_holds_nothing_that_a_shell_or_ssh_could_act_on(
    host: str, user: str, jump: str
) -> None:
    try:
        argv = ssh_argv(SshTarget(host=host, user=user, jump_host=jump), None)
    except BadRequest:
        return
    for text in (host, user, jump):
        assert text in argv and text.isascii() and text.isprintable()
        assert not text.startswith("-") and not set(text) & set(" '\"`$;&|<>(){}*?!#~/")


# -- the end ---------------------------------------------------------------------------------------

CLOSED = "Connection to build closed."


@pytest.mark.parametrize(
    ("tail", "end"),
    [
        (f"$ Connection to build closed by remote host.\r\n{CLOSED}\r\n", SshEnd.LOST),
        ("$ client_loop: send disconnect: Broken pipe\r\n", SshEnd.LOST),
        ("Timeout, server build not responding.\r\n", SshEnd.LOST),
        (f"Read from remote host build: Connection reset by peer\r\n{CLOSED}\r\n", SshEnd.LOST),
        ("ssh: connect to host build port 22: Connection refused\r\n", SshEnd.UNREACHABLE),
        ("ssh: connect to host build port 22: Connection timed out\n", SshEnd.UNREACHABLE),
        ("ssh: Could not resolve hostname b: Name or service not known\n", SshEnd.UNREACHABLE),
        ("Connection closed by 10.0.0.1 port 22\n", SshEnd.UNREACHABLE),
        (
            "kex_exchange_identification: Connection closed by remote host\r\n"
            "Connection reset by 10.0.0.1 port 22\r\n",
            SshEnd.UNREACHABLE,
        ),
        ("ada@build: Permission denied (publickey,password).\r\n", SshEnd.DENIED),
        (
            "ada@gate: Permission denied (publickey).\r\n"
            "Connection closed by UNKNOWN port 65535\r\n",
            SshEnd.DENIED,
        ),
        (
            "Received disconnect from 10.0.0.1 port 22:2: Too many authentication failures\r\n"
            "Disconnected from 10.0.0.1 port 22\r\n",
            SshEnd.DENIED,
        ),
        ("Host key verification failed.\r\n", SshEnd.UNTRUSTED),
        (
            "Host key verification failed.\r\nConnection closed by UNKNOWN port 65535\r\n",
            SshEnd.UNTRUSTED,
        ),
        ("Unable to negotiate with 10.0.0.1 port 22: no matching cipher found.", SshEnd.REFUSED),
        ("Bad owner or permissions on /home/ada/.ssh/config\r\n", SshEnd.REFUSED),
    ],
)
def test_ssh_s_own_last_words_tell_why_it_gave_up(tail: str, end: SshEnd) -> None:
    assert ssh_ended(255, f"Welcome\r\n\r\n{tail}") is end


@pytest.mark.parametrize(
    "tail",
    [
        "",
        "bye\r\n",
        f"bye\r\n{CLOSED}\r\n",
        f"client_loop: send disconnect: Broken pipe\r\n$ exit 255\r\nlogout\r\n{CLOSED}\r\n",
        f"Connection to other closed by remote host.\r\n{CLOSED}\r\n",
        f"git@forge: Permission denied (publickey).\r\n{CLOSED}\r\n",
        "ssh: connect to host other port 22: Connection refused\r\nI gave up\r\n",
    ],
)
def test_a_remote_255_without_ssh_s_own_last_words_is_an_exit(tail: str) -> None:
    assert ssh_ended(255, tail) is SshEnd.EXITED


@pytest.mark.parametrize("code", [0, 1, 3, 127, 254])
def test_another_code_is_an_exit_whatever_was_printed(code: int) -> None:
    assert ssh_ended(code, "Host key verification failed.\r\n") is SshEnd.EXITED


def test_an_end_that_nobody_saw_is_not_guessed_from_the_output() -> None:
    assert ssh_ended(None, "Connection to build closed by remote host.\r\n") is SshEnd.UNKNOWN


def test_every_end_says_what_to_do_next() -> None:
    assert all(end.advice.endswith(".") for end in SshEnd)


@given(st.text())
def test_no_output_makes_an_end_that_has_no_name(tail: str) -> None:
    assert ssh_ended(255, tail) in SshEnd
