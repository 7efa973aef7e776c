"""Every setting: its default, its bounds, its meaning. The reference page is made from this table.

A value comes from the environment (`CONSOLE_AUTOMATION_<NAME>`, or one of the four short names the
product has always had), else from `config.toml` in the state directory, else from here. Durations
are milliseconds, as everywhere a client sees them.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import Any

from console_automation.errors import BadRequest

PREFIX = "CONSOLE_AUTOMATION_"


class OnShutdown(StrEnum):
    """What a daemon that is told to end does with live runs."""

    LEAVE = "leave"
    DRAIN = "drain"
    STOP = "stop"


class SmtpTls(StrEnum):
    """How mail is kept from being read on its way to the SMTP server."""

    STARTTLS = "starttls"
    TLS = "tls"
    NONE = "none"


def _knob(
    default: Any,
    help: str,
    *,
    low: float | None = None,
    high: float | None = None,
    short: str | None = None,
    words: tuple[str, ...] = (),
    rules: bool = False,
    secret: bool = False,
) -> Any:
    metadata = {
        "help": help,
        "low": low,
        "high": high,
        "short": short,
        "words": words,
        "rules": rules,
        "secret": secret,
    }
    return field(default=default, metadata=metadata, repr=not secret)


_DAY = 86_400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The knobs of one daemon or one embedded engine."""

    max_concurrent_jobs: int = _knob(
        10, "Jobs that run at once.", low=1, high=100_000, short="MAX_CONCURRENT_JOBS"
    )
    max_concurrent_jobs_per_session: int = _knob(
        5, "Jobs of one session that run at once.", low=1, high=100_000
    )
    max_pending_jobs: int = _knob(
        200_000, "Jobs that may wait; more are refused.", low=1, high=10_000_000
    )
    job_timeout_ms: int = _knob(
        300_000,
        "How long a job may run unless it says otherwise; 0 for ever.",
        low=0,
        high=365 * _DAY,
        short="JOB_TIMEOUT_MS",
    )
    kill_grace_ms: int = _knob(
        5_000, "Time between the polite signal and SIGKILL.", low=0, high=600_000
    )
    max_wait_ms: int = _knob(
        45_000,
        "The longest a call waits; clients give up on a call after about a minute.",
        low=0,
        high=_DAY,
    )
    progress_interval_ms: int = _knob(
        5_000, "How often a waiting call reports progress.", low=50, high=600_000
    )
    output_limit_bytes: int = _knob(
        16 * 1024 * 1024,
        "Disk for the retained output of a job, framing included.",
        low=65_536,
        high=1 << 40,
    )
    output_page_bytes: int = _knob(
        16_384, "Output returned by one call unless it asks for more.", low=1, high=1 << 20
    )
    output_page_chunks: int = _knob(
        10_000, "Chunks returned by one call unless it asks for fewer.", low=1, high=1_000_000
    )
    max_definitions: int = _knob(
        1_000, "Job definitions that may be registered.", low=0, high=100_000
    )
    result_limit_bytes: int = _knob(
        1 << 20, "The largest result of a job that is kept.", low=1_024, high=64 << 20
    )
    max_workflows: int = _knob(1_000, "Workflows that may be registered.", low=0, high=100_000)
    max_workflow_steps: int = _knob(1_000, "Steps a workflow may have.", low=1, high=20_000)
    max_workflow_runs: int = _knob(
        1_000, "Workflow runs that go on at once; more are refused.", low=1, high=100_000
    )
    max_sessions: int = _knob(
        100, "Console sessions open at once; more are refused.", low=0, high=100_000
    )
    session_idle_timeout_ms: int = _knob(
        _DAY,
        "A session in which nothing was printed or typed for this long is closed; 0 never.",
        low=0,
        high=365 * _DAY,
    )
    session_lifetime_ms: int = _knob(
        7 * _DAY, "How long a session may be open; 0 for ever.", low=0, high=365 * _DAY
    )
    session_ready_ms: int = _knob(
        10_000, "How long opening a session waits for the first prompt.", low=0, high=_DAY
    )
    max_schedules: int = _knob(
        20_000, "Schedules there may be; more are refused.", low=0, high=1_000_000
    )
    schedule_history: int = _knob(
        100,
        "Executions that a schedule remembers, and versions.",
        low=1,
        high=10_000,
    )
    create_definitions: str = _knob(
        "scope:definitions:create",
        "Which principals may define jobs, and so run anything as the user: `role:a`, `scope:b`,"
        " `role:a+scope:b` for who has both; alternatives separated by spaces; `*` is every one, nothing"
        " is none.",
        rules=True,
    )
    create_workflows: str = _knob(
        "*", "Which principals may register workflows, said in the same way.", rules=True
    )
    create_schedules: str = _knob(
        "*", "Which principals may make schedules, said in the same way.", rules=True
    )
    toolsets: str = _knob(
        "jobs sessions",
        "Sets of tools that MCP clients see, separated by spaces: jobs, sessions, definitions,"
        " schedules, workflows, cluster.",
        words=("jobs", "sessions", "definitions", "schedules", "workflows", "cluster"),
    )
    retain_jobs_ms: int = _knob(
        _DAY, "How long finished jobs and closed sessions are kept.", low=0, high=3650 * _DAY
    )
    retain_audit_ms: int = _knob(
        30 * _DAY, "How long the record of requests is kept.", low=0, high=3650 * _DAY
    )
    job_cleanup_interval_ms: int = _knob(
        3_600_000,
        "How often finished jobs past their time are removed.",
        low=100,
        high=365 * _DAY,
        short="JOB_CLEANUP_INTERVAL",
    )
    max_load_per_cpu: float = _knob(
        8.0,
        "No further job starts while the load average per processor is above this; 0 never minds.",
        low=0,
        high=10_000,
    )
    max_memory_percent: float = _knob(
        95.0,
        "No further job starts while more than this of the memory is in use; 0 never minds.",
        low=0,
        high=100,
    )
    idle_shims: int = _knob(16, "Idle shims kept for the next runs.", low=0, high=1_000)
    shim_uses: int = _knob(200, "Runs a shim carries out before it is replaced.", low=1, high=10**6)
    environment: str = _knob(
        "PATH HOME USER LOGNAME SHELL LANG LANGUAGE LC_* TZ TERM TMPDIR SSH_AUTH_SOCK DISPLAY",
        "Variables of the client that its jobs inherit, separated by spaces; LC_* is every LC_…",
    )
    cli_environment: str = _knob(
        "*", "The same for jobs that the command line starts; * is every variable."
    )
    on_shutdown: OnShutdown = _knob(
        OnShutdown.LEAVE, "What SIGTERM does to running jobs: leave, drain or stop."
    )
    drain_timeout_ms: int = _knob(
        60_000, "How long draining waits before it leaves the rest running.", low=0, high=_DAY
    )
    http: bool = _knob(False, "Serve MCP and metrics over HTTP as well.")
    http_host: str = _knob("127.0.0.1", "Address to listen on; only loopback is meant.")
    http_port: int = _knob(8471, "Port to listen on; 0 takes any free one.", low=0, high=65_535)
    http_max_body_bytes: int = _knob(
        4 << 20, "The largest request body taken.", low=1_024, high=1 << 30
    )
    http_max_connections: int = _knob(100, "Connections served at once.", low=1, high=100_000)
    notify_attempts: int = _knob(
        12, "How often a notification is tried before it is given up.", low=1, high=100
    )
    notify_backoff_ms: int = _knob(
        5_000, "Pause after the first failed try; it doubles each time.", low=1, high=_DAY
    )
    notify_max_backoff_ms: int = _knob(
        3_600_000, "The longest pause between two tries.", low=1, high=_DAY
    )
    notify_timeout_ms: int = _knob(
        10_000, "How long a receiver may take to accept a notification.", low=10, high=600_000
    )
    webhook_secret: str = _knob("", "Signs webhooks; without one they are not signed.", secret=True)
    webhook_allow_private: bool = _knob(
        False, "Let webhooks go to addresses of this machine and of private networks."
    )
    smtp_host: str = _knob("", "SMTP server that takes notifications by e-mail.")
    smtp_port: int = _knob(587, "Its port.", low=1, high=65_535)
    smtp_user: str = _knob("", "Name to log in there; without one there is no login.")
    smtp_password: str = _knob("", "Password to log in there.", secret=True)
    smtp_from: str = _knob("", "Address that notifications by e-mail come from.")
    smtp_tls: SmtpTls = _knob(
        SmtpTls.STARTTLS, "How the connection is encrypted: starttls, tls (at once) or none."
    )
    nats_url: str = _knob(
        "",
        "NATS servers of the cluster, separated by spaces, as in nats://10.0.0.5:4222; without one this"
        " machine is alone.",
    )
    nats_user: str = _knob("", "User to log in there.")
    nats_password: str = _knob("", "Password to log in there.", secret=True)
    nats_nkey_file: str = _knob("", "File with the nkey seed to log in with.")
    nats_ca_file: str = _knob(
        "", "File with the certificates that NATS servers are checked against."
    )
    nats_certificate_file: str = _knob("", "File with the certificate to show to NATS servers.")
    nats_key_file: str = _knob("", "File with the private key of that certificate.")
    nats_monitor_url: str = _knob(
        "", "URL of the monitoring port of a NATS server; the doctor looks there."
    )
    cluster_key: str = _knob(
        "",
        "Secret of the cluster, the same on all its machines, at least 16 characters: seals all that they"
        " write for each other.",
        secret=True,
    )
    cluster_name: str = _knob(
        "console-automation", "Name of the cluster, in NATS subjects and buckets."
    )
    cluster_gateway: bool = _knob(
        True, "Take jobs with a target into the cluster, and answer for any job of it."
    )
    cluster_worker: bool = _knob(False, "Take jobs of the cluster and run them here.")
    worker_host: str = _knob("", "Host name of this worker; by default the machine's.")
    worker_labels: str = _knob("", "Labels of this worker, as in group=web.dev.us-east zone=a.")
    cluster_lease_ms: int = _knob(
        10_000, "How long a sign of life of a worker stands.", low=500, high=600_000
    )
    cluster_lost_ms: int = _knob(
        60_000, "How long a worker may be silent before its jobs are given up.", low=500, high=_DAY
    )
    cluster_retain_ms: int = _knob(
        _DAY, "How long finished jobs of the cluster are kept.", low=1_000, high=365 * _DAY
    )
    cluster_max_bytes: int = _knob(
        1 << 30,
        "Room for the jobs of the cluster; when it is full, more are refused.",
        low=1 << 16,
        high=1 << 44,
    )
    cluster_max_deliveries: int = _knob(
        5, "How many workers may give a job back before it is given up.", low=1, high=1_000
    )
    cluster_output_bytes: int = _knob(
        16_384, "Output of a job, the last of it, that is kept in the cluster.", low=0, high=1 << 18
    )
    cluster_copy_ms: int = _knob(
        15_000,
        "How often that is done for a job that still runs.",
        low=100,
        high=_DAY,
    )
    log_level: str = _knob("info", "debug, info, warning or error.", short="LOG_LEVEL")


def load(
    home: Path,
    environment: Mapping[str, str] | None = None,
    *,
    overrides: Mapping[str, Any] | None = None,
) -> Settings:
    """Return the settings of a state directory; `overrides` come from a command line and win.

    Raises BadRequest, naming the setting, its value and what it may be.
    """
    values: dict[str, Any] = {}
    path = home / "config.toml"
    if path.exists():
        try:
            values.update(tomllib.loads(path.read_text(encoding="utf-8")))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise BadRequest(f"{path} is not valid TOML: {error}") from error
        except OSError as error:
            raise BadRequest(f"{path} cannot be read: {error.strerror}") from error
    known = {each.name: each for each in fields(Settings)}
    for name in values:
        if name not in known:
            raise BadRequest(f"{path} has an unknown setting {name!r}", field=name)
    source = os.environ if environment is None else environment
    for name, each in known.items():
        for variable in (each.metadata["short"], PREFIX + name.upper()):
            if variable and variable in source:
                values[name] = source[variable]
    return make(values | dict(overrides or {}))


def make(values: Mapping[str, Any]) -> Settings:
    """Return settings with these values; text is converted, everything is checked.

    Raises BadRequest.
    """
    checked = {
        each.name: _check(each.name, each.type, each.metadata, values[each.name])
        for each in fields(Settings)
        if each.name in values
    }
    return Settings(**checked)


_RULE = re.compile(r"\*|role:[^\s+]+(\+scope:[^\s+]+)?|scope:[^\s+]+")
_TRUTH = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
_NO_TEXT: Mapping[Any, Any] = {bool: bool, int: int, float: (int, float)}


def _check(name: str, kind: Any, metadata: Mapping[str, Any], value: Any) -> Any:
    try:
        result = _converted(kind, value)
    except (ValueError, KeyError, OverflowError):
        shown = "its value" if metadata["secret"] else repr(value)
        raise BadRequest(f"setting {name}: {shown} is not {_wanted(kind)}", field=name) from None
    low, high = metadata["low"], metadata["high"]
    if low is not None and not low <= result <= high:
        raise BadRequest(f"setting {name}: {value!r} is not between {low} and {high}", field=name)
    words = metadata["words"]
    if words and (not result.split() or set(result.split()) - set(words)):
        known = ", ".join(words)
        raise BadRequest(f"setting {name}: {value!r} is not one or more of {known}", field=name)
    if metadata["rules"]:
        _check_rules(name, result)
    return result


def _check_rules(name: str, value: str) -> None:
    for word in value.split():
        if not _RULE.fullmatch(word):
            raise BadRequest(
                f"setting {name}: {word!r} is not one of *, role:NAME, scope:NAME,"
                " role:NAME+scope:NAME",
                field=name,
            )


def _converted(kind: Any, value: Any) -> Any:
    """Return what a text says; what is no text must be of the right kind already."""
    if isinstance(value, str):
        return _TRUTH[value.lower()] if kind is bool else kind(value)
    if isinstance(value, bool) is (kind is bool) and isinstance(value, _NO_TEXT.get(kind, ())):
        return kind(value)
    raise ValueError(value)


def _wanted(kind: Any) -> str:
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return "one of " + ", ".join(kind)
    return {int: "a whole number", float: "a number", bool: "true or false"}.get(kind, "text")
