"""Settings: defaults are allowed values, the right source wins, a bad value is told what would be right."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

from console_automation import config
from console_automation.config import OnShutdown, Settings, SmtpTls
from console_automation.errors import BadRequest
from console_automation.operations.table import OPERATIONS

KNOBS = {each.name: each for each in dataclasses.fields(Settings)}
NUMBERS = {name: each for name, each in KNOBS.items() if each.type in (int, float)}
SHORT = {
    "max_concurrent_jobs": "MAX_CONCURRENT_JOBS",
    "job_timeout_ms": "JOB_TIMEOUT_MS",
    "job_cleanup_interval_ms": "JOB_CLEANUP_INTERVAL",
    "log_level": "LOG_LEVEL",
}


def load(home: Path, environment: dict[str, str] | None = None, **overrides: Any) -> Settings:
    return config.load(home, environment or {}, overrides=overrides)


def write(home: Path, text: str) -> None:
    (home / "config.toml").write_text(text, encoding="utf-8")


@pytest.mark.parametrize("name", KNOBS)
def test_every_default_is_a_value_that_could_be_set(name: str, tmp_path: Path) -> None:
    default = KNOBS[name].default
    assert config.make({name: default}) == Settings()
    assert load(tmp_path, {config.PREFIX + name.upper(): str(default)}) == Settings()


@pytest.mark.parametrize("name", KNOBS)
def test_every_setting_says_what_it_is_and_every_number_has_bounds(name: str) -> None:
    metadata = KNOBS[name].metadata
    assert re.fullmatch(r"\S.*[.…]", metadata["help"])
    assert (metadata["low"] is None) == (metadata["high"] is None) == (name not in NUMBERS)


@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_may_be_at_its_bounds_and_not_beyond(name: str) -> None:
    low, high = NUMBERS[name].metadata["low"], NUMBERS[name].metadata["high"]
    for allowed in (low, high, str(low), str(high)):
        assert getattr(config.make({name: allowed}), name) == float(allowed)
    for beyond in (low - 1, high + 1, str(low - 1), str(high + 1)):
        with pytest.raises(BadRequest) as refused:
            config.make({name: beyond})
        for word in (name, str(beyond), str(low), str(high)):
            assert word in refused.value.message
        assert refused.value.details == {"field": name}


@pytest.mark.parametrize("given", ["", "  ", "job", "jobs,sessions", "jobs clusters"])
def test_a_toolset_that_does_not_exist_is_refused(given: str) -> None:
    with pytest.raises(BadRequest, match=r"toolsets: .* is not one or more of jobs, sessions"):
        config.make({"toolsets": given})


def test_the_toolsets_of_the_setting_are_those_that_tools_are_in() -> None:
    words = KNOBS["toolsets"].metadata["words"]
    assert set(words) == {each.toolset for each in OPERATIONS.values()}
    assert config.make({"toolsets": words[0]}).toolsets == words[0]


BAD: dict[type, tuple[Any, ...]] = {
    int: ("", "x", "1.5", 1.5, 2.0, True, None, [], "nan", "1e3", float("inf"), float("nan")),
    float: ("", "x", True, None, [], "nan", float("nan"), float("inf"), "-inf", 10**400),
    bool: ("", "x", 2, None, [], "on off"),
    str: (1, 1.5, True, None, [], ["a"]),
    OnShutdown: ("", "leaf", 1, None, True, []),
    SmtpTls: ("", "ssl", 1, None, True, []),
}


@pytest.mark.parametrize("name", KNOBS)
def test_a_bad_value_is_refused_with_its_name_itself_and_what_is_allowed(name: str) -> None:
    for bad in BAD[KNOBS[name].type]:  # type: ignore[index]
        with pytest.raises(BadRequest) as refused:
            config.make({name: bad})
        message = refused.value.message
        shown = "its value" if KNOBS[name].metadata["secret"] else repr(bad)
        assert message.startswith(f"setting {name}: {shown} is not "), message
        assert re.search(r"number|between|true or false|text|one of \w+, \w+, \w+", message)
        assert refused.value.details == {"field": name}


def test_an_unknown_setting_is_refused_with_its_name(tmp_path: Path) -> None:
    write(tmp_path, "max_jobs = 3\n")
    with pytest.raises(BadRequest, match="unknown setting 'max_jobs'") as refused:
        load(tmp_path)
    assert str(tmp_path / "config.toml") in refused.value.message


@pytest.mark.parametrize("text", ["max_concurrent_jobs = ", "\0", "= 3", "a = 1\na = 2"])
def test_a_file_that_is_no_toml_is_refused_with_its_path(tmp_path: Path, text: str) -> None:
    write(tmp_path, text)
    with pytest.raises(BadRequest, match=r"config\.toml is not valid TOML"):
        load(tmp_path)


def test_a_file_that_cannot_be_read_is_refused_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_bytes(b"log_level = '\xff'")
    with pytest.raises(BadRequest, match=r"config\.toml is not valid TOML"):
        load(tmp_path)
    (tmp_path / "config.toml").unlink()
    (tmp_path / "config.toml").mkdir()
    with pytest.raises(BadRequest, match=r"config\.toml cannot be read"):
        load(tmp_path)


def test_without_any_source_the_defaults_hold(tmp_path: Path) -> None:
    assert load(tmp_path) == Settings()
    assert load(tmp_path, {"MAX_CONCURRENT_JOB": "3", "HTTP": "1", "PATH": "/bin"}) == Settings()


def test_the_environment_wins_over_the_file_and_the_command_line_over_both(tmp_path: Path) -> None:
    write(tmp_path, "max_concurrent_jobs = 2\nidle_shims = 3\nhttp = true\nkill_grace_ms = 1\n")
    environment = {
        "CONSOLE_AUTOMATION_MAX_CONCURRENT_JOBS": "4",
        "CONSOLE_AUTOMATION_IDLE_SHIMS": "5",
        "CONSOLE_AUTOMATION_HTTP": "no",
    }
    settings = load(tmp_path, environment, idle_shims=6)
    assert settings == Settings(max_concurrent_jobs=4, idle_shims=6, http=False, kill_grace_ms=1)


@pytest.mark.parametrize("name", SHORT)
def test_four_settings_have_the_short_names_of_old_and_the_long_name_wins(
    name: str, tmp_path: Path
) -> None:
    assert {
        each: knob.metadata["short"] for each, knob in KNOBS.items() if knob.metadata["short"]
    } == SHORT
    short, long = ("debug", "error") if name == "log_level" else ("1234", "2345")
    environment = {SHORT[name]: short}
    kind = type(KNOBS[name].default)
    assert getattr(load(tmp_path, environment), name) == kind(short)
    environment[config.PREFIX + name.upper()] = long
    assert getattr(load(tmp_path, environment), name) == kind(long)


def test_what_is_read_is_the_environment_of_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONSOLE_AUTOMATION_IDLE_SHIMS", "7")
    assert config.load(tmp_path).idle_shims == 7


@pytest.mark.parametrize(
    ("written", "meant"),
    [("1", True), ("TRUE", True), ("yes", True), ("0", False), ("False", False), ("NO", False)],
)
def test_true_and_false_may_be_written_in_three_ways(written: str, meant: bool) -> None:
    assert config.make({"http": written}).http is meant


def test_a_whole_number_will_do_for_a_fraction() -> None:
    assert config.make({"max_load_per_cpu": 3}).max_load_per_cpu == 3.0
    assert config.make({"max_load_per_cpu": "2.5"}).max_load_per_cpu == 2.5
