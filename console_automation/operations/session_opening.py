"""From a request to the spec of a session."""

from console_automation.core.job import Command, TerminalSize
from console_automation.core.session import SessionSpec
from console_automation.core.shell_start import integrated, remote_bootstrap
from console_automation.core.shells import ShellKind, is_integrated, kind_of
from console_automation.core.ssh import ENVIRONMENT, SshTarget, ssh_argv
from console_automation.engine.commands import (
    SCRIPTS,
    check_directory,
    find_program,
    on_terminal,
    remote_scripts,
    resolve,
)
from console_automation.engine.engine import Engine
from console_automation.errors import BadRequest
from console_automation.operations import session_requests as ask
from console_automation.operations.submission import Call


def session_spec(engine: Engine, call: Call, request: ask.CreateSession) -> SessionSpec:
    """Return the spec of the session that a request asks for.

    Raises what `engine.commands.resolve` raises, and BadRequest for a bad ssh target.
    """
    options = request.options
    environment = on_terminal(call.environment, options.environment)
    cwd = options.cwd or call.cwd
    kind: ShellKind | None
    if options.ssh:
        line, executable, argv, kind = _remote(request, options.ssh, cwd, environment)
        environment |= ENVIRONMENT
    else:
        check_directory(cwd, field="options.cwd")
        line = request.command or environment.get("SHELL") or "/bin/sh"
        executable, argv, by_shell = resolve(
            line, request.args, shell=None, cwd=cwd, environment=environment
        )
        kind = options.shell or (None if by_shell else kind_of(executable))
        if kind is not None and is_integrated(kind) and not by_shell:
            plain = argv, environment
            argv, environment = integrated(kind, *plain, SCRIPTS)
            if (argv, environment) == plain and options.shell is None:
                kind = None  # it reads a script, and nothing that is typed
    settings = engine.settings
    command = Command(
        line=line,
        args=None if request.args is None else tuple(request.args),
        shell=False,
        executable=executable,
        argv=argv,
        cwd=cwd,
        environment=environment,
        timeout=settings.session_lifetime_ms / 1000 or None,
        idle_timeout=settings.session_idle_timeout_ms / 1000 or None,
        grace=settings.kill_grace_ms / 1000,
        output_limit=settings.output_limit_bytes,
        terminal=TerminalSize(cols=options.cols, rows=options.rows),
        hang_up=True,
    )
    return SessionSpec(
        command=command,
        created_at=engine.jobs.clock.now(),
        client=call.client,
        name=options.name,
        shell=kind,
        host=options.ssh.host if options.ssh else None,
    )


def _remote(
    request: ask.CreateSession, wanted: ask.Ssh, cwd: str, environment: dict[str, str]
) -> tuple[str, str, tuple[str, ...], ShellKind | None]:
    """Return line, executable, argv and shell of a session on another machine."""
    if request.args is not None:
        raise BadRequest(
            "args cannot be given with options.ssh: the other machine's shell reads one line. Put"
            " it into command.",
            field="args",
        )
    if request.options.cwd:
        raise BadRequest(
            "options.cwd is a directory of this machine; with options.ssh, cd on the other one.",
            field="options.cwd",
        )
    target = SshTarget(
        host=wanted.host,
        port=wanted.port,
        user=wanted.user,
        identity_file=wanted.identity_file,
        jump_host=wanted.jump_host,
        known_hosts_policy=wanted.known_hosts_policy,
        known_hosts_file=wanted.known_hosts_file,
        connect_timeout=wanted.connect_timeout / 1000,
    )
    check_directory(cwd)
    kind = request.options.shell
    remote = request.command or remote_bootstrap(kind, remote_scripts())
    argv = ssh_argv(target, remote)
    executable = find_program("ssh", cwd=cwd, path=environment.get("PATH"))
    return request.command or f"ssh {wanted.host}", executable, argv, kind
