"""The daemon as a service of its user: a systemd unit, or on macOS a launchd agent.

Nothing is started or enabled here: which commands do that is said, and a person runs them.
"""

import os
import sys

from console_automation.frontends.cli import outcome, written

TYPE_CHECKING = False
if TYPE_CHECKING:
    from console_automation.frontends.cli.streams import Streams

NAME = "console-automation"
LABEL = f"{NAME}.daemon"
_COMMAND = "job daemon install"
_ON_MACOS = sys.platform == "darwin"

_UNIT = """\
[Unit]
Description=Background jobs and consoles (console-automation)

[Service]
ExecStart={program} -P -m console_automation daemon run
Environment={home}
# Jobs outlive the daemon, so its end, and that of a job the kernel kills, must not end them.
KillMode=process
OOMPolicy=continue
Restart=on-failure
# It could not start, and says why: another try would end the same.
RestartPreventExitStatus={unavailable}

[Install]
WantedBy=default.target
"""


def unit(python: str, home: str) -> str:
    """Return the systemd unit for an interpreter and a state directory."""
    text = _UNIT.format(
        program=_quoted(python),
        home=_quoted(f"CONSOLE_AUTOMATION_HOME={home}"),
        unavailable=outcome.UNAVAILABLE,
    )
    return written.sealed(text, _COMMAND, "# %s")


def _quoted(word: str) -> str:
    """Return a word as systemd reads it back: in quotes, with its escapes, and no specifier in it."""
    escapes = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "%": "%%"}
    return '"' + "".join(escapes.get(character, character) for character in word) + '"'


def agent(python: str, home: str) -> str:
    """Return the launchd agent for an interpreter and a state directory."""
    import plistlib

    wanted = {
        "Label": LABEL,
        "ProgramArguments": [python, "-P", "-m", "console_automation", "daemon", "run"],
        "EnvironmentVariables": {"CONSOLE_AUTOMATION_HOME": home},
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
        "AbandonProcessGroup": True,  # jobs outlive the daemon
        "ProcessType": "Interactive",  # by default launchd throttles a service, and its jobs with it
    }
    text = plistlib.dumps(wanted, sort_keys=False).decode()
    return written.sealed(text, _COMMAND, "<!-- %s -->")


def place() -> str:
    """Return where the unit or the agent belongs."""
    if _ON_MACOS:
        return os.path.expanduser(f"~/Library/LaunchAgents/{LABEL}.plist")
    return os.path.join(_units(), f"{NAME}.service")


def _units() -> str:
    configured = os.environ.get("XDG_CONFIG_HOME", "")
    base = configured if os.path.isabs(configured) else os.path.expanduser("~/.config")
    return os.path.join(base, "systemd", "user")


def install(streams: "Streams", home: str, *, write: bool) -> int:
    """Show it, write it if that is asked for, and say what remains to be done."""
    content = (agent if _ON_MACOS else unit)(sys.executable, home)
    if write:
        written.write(streams, place(), content)
    streams.raw(written.encoded(content))
    streams.remark(f"\nThen run:\n{_then()}" if write else f"\nIts place: {place()}")
    return outcome.DONE


def restarting(streams: "Streams") -> None:
    """Say what a service manager makes of a daemon that is restarted behind its back."""
    if not _ON_MACOS and os.path.exists(place()):
        streams.remark(
            "systemd did not start this one. To have the next one under it:"
            f" job daemon stop; systemctl --user start {NAME}"
        )


def _then() -> str:
    if _ON_MACOS:
        return (
            "  job daemon stop                # one that a client has started makes room\n"
            f"  launchctl bootstrap gui/{os.getuid()} {place()}"
        )
    return (
        "  job daemon stop                # one that a client has started makes room\n"
        "  systemctl --user daemon-reload\n"
        f"  systemctl --user enable --now {NAME}\n"
        "  loginctl enable-linger         # it starts with the machine, and stays after logout"
    )


def uninstall(streams: "Streams") -> int:
    """Remove it, and the link that enabling it has made; say what remains to be done."""
    written.remove(streams, place())
    if _ON_MACOS:
        streams.remark(f"\nThen run:\n  launchctl bootout gui/{os.getuid()}/{LABEL}")
        return outcome.DONE
    link = os.path.join(_units(), "default.target.wants", os.path.basename(place()))
    if os.path.islink(link):
        os.unlink(link)
        streams.line(f"removed: {link}")
    streams.remark(f"\nThen run:\n  systemctl --user stop {NAME}\n  systemctl --user daemon-reload")
    return outcome.DONE
