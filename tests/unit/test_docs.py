"""The documentation says what is so: made sections are fresh, links lead somewhere, names exist,
samples run and print what the page says they print."""

import argparse
import fcntl
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from console_automation import config, errors
from console_automation.config import PREFIX, Settings
from console_automation.core import text
from console_automation.frontends.cli.program import JOB, SERVER, Program, load
from console_automation.operations.table import OPERATIONS
from docs import examples, generate
from tests.waiting import PATIENCE, until_now

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SAMPLE = re.compile(
    r"^```python\n((?:(?!```).*\n)+)```\n\nprints\n\n```text\n((?:(?!```).*\n)*)```$", re.MULTILINE
)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def prose(page: Path) -> str:
    """The page without its code blocks."""
    return FENCE.sub("", page.read_text("utf-8"))


def blocks(page: Path, *languages: str) -> list[str]:
    found = FENCE.findall(page.read_text("utf-8"))
    return [body for language, body in found if language in languages]


def words(pattern: str) -> set[str]:
    """Everything in any page that looks like this."""
    return {found for page in PAGES for found in re.findall(pattern, page.read_text("utf-8"))}


# -- what is made from the code --------------------------------------------------------------------


@each_page
def test_a_made_section_is_as_the_code_would_have_it(page: Path) -> None:
    text = page.read_text("utf-8")
    assert generate.made(text) == text, "run `make docs`"


def test_everything_that_can_be_made_stands_in_some_page() -> None:
    assert words(r"<!-- made: ([\w-]+) -->") == set(generate.SECTIONS)


async def test_the_examples_are_what_the_product_answers() -> None:
    assert examples.settled(await examples.play()) == examples.settled(examples.kept())


class Consulted(dict[str, Any]):
    """A table that notes which of its entries are used."""

    def __init__(self, entries: Mapping[str, Any]) -> None:
        super().__init__(entries)
        self.used: set[str] = set()

    def __getitem__(self, key: str) -> Any:
        self.used.add(key)
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        self.used.add(key)
        return super().get(key, default)


def test_the_reference_has_no_entry_for_what_does_not_exist(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reference = {name: Consulted(entries) for name, entries in generate.REFERENCE.items()}
    monkeypatch.setattr(generate, "REFERENCE", reference)
    for make in generate.SECTIONS.values():
        make()
    assert {name: set(entries) - entries.used for name, entries in reference.items()} == {
        name: set() for name in reference
    }


# -- links and names -------------------------------------------------------------------------------


@each_page
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in LINK.findall(prose(page)):
        path, _, anchor = link.partition("#")
        if not path.startswith(("http://", "https://")):
            target = (page.parent / path).resolve() if path else page
            assert target.exists(), link
            assert not anchor or anchor in anchors(target), link


def anchors(page: Path) -> set[str]:
    """The anchors that a page's headings have where Markdown is shown."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, todo = set[Path](), [ROOT / "README.md"]
    while todo:
        page = todo.pop()
        if page not in reached:
            reached.add(page)
            links = [link.partition("#")[0] for link in LINK.findall(prose(page))]
            todo += [(page.parent / link).resolve() for link in links if link.endswith(".md")]
    assert reached == set(PAGES)


@each_page
def test_every_path_that_is_named_exists(page: Path) -> None:
    for path in re.findall(r"`((?:console_automation|tests|docs)/[\w./-]*)`", prose(page)):
        assert (ROOT / path).exists(), path


def test_the_tools_and_the_tools_page_are_the_same() -> None:
    assert words(r"\bconsole_(?!automation)\w+") == set(OPERATIONS)


def test_every_variable_that_is_named_is_a_setting_and_every_setting_is_named() -> None:
    variables = {PREFIX + knob.name.upper() for knob in fields(Settings)}
    runs = ("INPUT", "ATTEMPT", "PROGRESS", "RESULT", "SCHEDULE", "METADATA", "NOTIFICATION")
    other = {PREFIX + name for name in ("HOME", "RUN", *runs)}
    assert words(rf"{PREFIX}[A-Z_]+\b") == variables | other


def test_every_metric_that_is_named_exists_and_every_metric_is_named() -> None:
    made = set(re.findall(r"^\| `(\w+)`", generate.metrics(), re.MULTILINE))
    assert words(r"\bconsole_automation_\w+") == made


def test_every_error_code_has_a_section_that_says_what_to_do() -> None:
    page = (ROOT / "docs/errors.md").read_text("utf-8")
    sections = dict(re.findall(r"^## ([A-Z_]+)\n(.*?)(?=^## |\Z)", page, re.DOTALL | re.MULTILINE))
    assert set(sections) == {kind.code for kind in error_kinds()}
    guide = (ROOT / "docs/operations.md").read_text("utf-8")
    for code, section in sections.items():
        assert "what to do" in section.lower(), code
        assert f"`{code}`" in guide, code


def error_kinds() -> Iterator[type[errors.ConsoleAutomationError]]:
    for found in vars(errors).values():
        if isinstance(found, type) and issubclass(found, errors.ConsoleAutomationError):
            yield found


PROGRAMS = {program.name: program for program in (JOB, SERVER)}


def test_every_command_that_is_named_exists_and_every_command_is_named() -> None:
    named = {path for page in PAGES for path in [*called_in(page), *mentioned_in(page)]}
    there = {path for program in PROGRAMS.values() for path in commands_of(program)}
    assert named <= there | {("job",), ("console-automation",)}
    assert {path for path in there if path[0] == JOB.name or len(path) == 2} <= named


def called_in(page: Path) -> Iterator[tuple[str, ...]]:
    """The commands of ours in a page's scripts; one that ours would refuse to read fails here."""
    for block in blocks(page, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            for words in simple_commands(line):
                program = PROGRAMS.get(Path(words[0]).name)
                if program is not None:
                    yield parsed(program, words[1:])


def simple_commands(line: str) -> list[list[str]]:
    """A line of a shell cut at what separates commands, redirections and substitutions."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="();<>|&`")
    lexer.whitespace_split = True
    found: list[list[str]] = [[]]
    for word in lexer:
        if set(word) <= set("();<>|&`"):
            found.append([])
        elif found[-1] or word not in ("do", "then", "{", "!"):
            found[-1].append(word)
    return [words for words in found if words]


def parsed(program: Program, words: list[str]) -> tuple[str, ...]:
    """The path of a command, once it has read its arguments."""
    if not words or words == ["--help"]:
        return (program.name,)
    name, rest = program.split(words)
    module, parser = load(name), program.parser(name)
    module.parse(parser, rest) if hasattr(module, "parse") else parser.parse_args(rest)
    return (program.name, *path_of(parser, name, rest))


def path_of(parser: argparse.ArgumentParser, name: str, words: Iterable[str]) -> tuple[str, ...]:
    commands = subcommands(parser)
    chosen = next((word for word in words if not word.startswith("-")), None)
    if not commands or chosen is None:
        return (name,)
    assert chosen in commands, (name, chosen)
    return (name, chosen)


def subcommands(parser: argparse.ArgumentParser) -> Mapping[str, argparse.ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def mentioned_in(page: Path) -> Iterator[tuple[str, ...]]:
    """The commands of ours in a page's prose, perhaps without their arguments; their options exist."""
    for span in re.findall(r"`([^`\n]+)`", prose(page)):
        words = span.split()
        program = PROGRAMS.get(words[0]) if words else None
        if program is not None and len(words) > 1 and words[1].isupper() is False:
            yield resolved(program, words[1:])


def resolved(program: Program, words: list[str]) -> tuple[str, ...]:
    name, rest = program.split(words)
    assert name in program.commands, words
    parser = program.parser(name)
    path = path_of(parser, name, rest)
    parser = subcommands(parser).get(path[-1], parser)
    for word in rest:
        if word.startswith("--"):
            assert word.partition("=")[0] in parser._option_string_actions, words
    return (program.name, *path)


def commands_of(program: Program) -> Iterator[tuple[str, ...]]:
    for name, about in program.commands.items():
        if about:
            yield (program.name, name)
            for each in subcommands(program.parser(name)):
                yield (program.name, name, each)


def test_the_limits_that_descriptions_speak_of_are_the_defaults() -> None:
    """A schema has the figures in words, because a model reads them; a setting has them in fact."""
    spoken = json.dumps([each.request.model_json_schema() for each in OPERATIONS.values()])
    spoken += " ".join(each.description for each in OPERATIONS.values())
    default = Settings()
    for figure in (
        f"{default.max_wait_ms} at most",
        f"limit {default.max_wait_ms}",
        f"Default {default.job_timeout_ms}",
        f"Default {default.output_page_bytes}",
        f"Default {default.kill_grace_ms}",
        f"({text.human_seconds(default.max_wait_ms / 1000).replace('.0', '')})",
        f"({default.retain_jobs_ms / 3_600_000:.0f} h)",
    ):
        assert figure in spoken, figure


# -- samples ---------------------------------------------------------------------------------------


@each_page
def test_every_sample_of_data_is_well_formed(page: Path) -> None:
    for block in blocks(page, "json"):
        json.loads(block)
    for block in set(blocks(page, "toml")) - set(files(page).values()):
        values = tomllib.loads(block)
        assert set(values) <= {knob.name for knob in fields(Settings)}
        config.make(values)


def files(page: Path) -> dict[str, str]:
    """The files that a page shows: blocks that begin with their name."""
    return dict(
        (block.removeprefix("# file: ").partition("\n")[0], block)
        for block in blocks(page, "python", "toml")
        if block.startswith("# file: ")
    )


def samples() -> Iterator[Any]:
    for page in PAGES:
        for number, (script, printed) in enumerate(SAMPLE.findall(page.read_text("utf-8")), 1):
            yield pytest.param(page, script, printed, id=f"{page.stem}-{number}")


@pytest.mark.parametrize(("page", "script", "printed"), list(samples()))
def test_a_sample_prints_what_the_page_says(
    page: Path, script: str, printed: str, home: Path, tmp_path: Path
) -> None:
    for name, content in files(page).items():
        (tmp_path / name).write_text(content)
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "CONSOLE_AUTOMATION_HOME": str(home),
        "CONSOLE_AUTOMATION_MAX_LOAD_PER_CPU": "0",
        "CONSOLE_AUTOMATION_MAX_MEMORY_PERCENT": "0",
    }
    try:
        done = subprocess.run(
            [sys.executable, "-c", script],
            check=False,
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=2 * PATIENCE,
        )
    finally:
        stop = ["console-automation", "daemon", "stop"]
        subprocess.run(stop, check=True, env=environment, capture_output=True, timeout=PATIENCE)
        until_now(lambda: is_free(home), "the end of the daemon")
    assert (done.stdout, done.stderr) == (printed, "")


def is_free(home: Path) -> bool:
    """Whether no engine holds the state directory."""
    with (home / "daemon.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
    return True


def test_every_python_block_is_such_a_sample() -> None:
    scripts = [block for page in PAGES for block in blocks(page, "python")]
    shown = [script for script in scripts if not script.startswith("# file: ")]
    assert shown == [
        script for page in PAGES for script, _ in SAMPLE.findall(page.read_text("utf-8"))
    ]
    assert len(scripts) >= 3
