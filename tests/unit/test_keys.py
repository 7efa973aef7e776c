"""Keys and pastes: what they send is what terminfo says of xterm-256color."""

import curses
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console_automation.core.keys import CONTROL, CURSOR, FUNCTION, NAMES, encode_key, paste
from console_automation.errors import BadRequest

CAPABILITIES = {
    "enter": "cr",
    "backspace": "kbs",
    "delete": "kdch1",
    "insert": "kich1",
    "home": "khome",
    "end": "kend",
    "pageup": "kpp",
    "pagedown": "knp",
    "up": "kcuu1",
    "down": "kcud1",
    "left": "kcub1",
    "right": "kcuf1",
    "shift+tab": "kcbt",
    **{f"f{number}": f"kf{number}" for number in range(1, 13)},
}
WITH_MODIFIERS = {
    "up": "kUP",
    "down": "kDN",
    "left": "kLFT",
    "right": "kRIT",
    "home": "kHOM",
    "end": "kEND",
    "insert": "kIC",
    "delete": "kDC",
    "pageup": "kPRV",
    "pagedown": "kNXT",
}
#: terminfo counts function keys on: what xterm sends for Shift and F1 is its F13.
FUNCTION_KEYS_FROM = {"shift": 13, "ctrl": 25, "ctrl+shift": 37, "alt": 49}
MODIFIERS = ("shift", "alt", "ctrl")


@pytest.fixture(scope="module", autouse=True)
def terminfo() -> None:
    curses.setupterm("xterm-256color", 1)


def said(capability: str) -> str | None:
    value = curses.tigetstr(capability)
    return value.decode("ascii") if value else None


def all_modifiers() -> list[tuple[str, ...]]:
    return [each for count in (1, 2, 3) for each in combinations(MODIFIERS, count)]


@pytest.mark.parametrize(("key", "capability"), CAPABILITIES.items())
def test_a_key_sends_what_terminfo_says(key: str, capability: str) -> None:
    assert encode_key(key, application_cursor=True) == said(capability)


@pytest.mark.parametrize(("key", "capability"), WITH_MODIFIERS.items())
def test_a_key_with_modifiers_sends_what_terminfo_says(key: str, capability: str) -> None:
    compared = 0
    for modifiers in all_modifiers():
        parameter = 1 + sum(1 << MODIFIERS.index(each) for each in modifiers)
        expected = said(capability if parameter == 2 else f"{capability}{parameter}")
        if expected:
            code = encode_key("+".join((*modifiers, key)), application_cursor=True)
            assert code == expected
            compared += 1
    assert compared >= 6


@pytest.mark.parametrize(("modifier", "first"), FUNCTION_KEYS_FROM.items())
def test_a_function_key_with_modifiers_sends_what_terminfo_says(modifier: str, first: int) -> None:
    for number in range(1, 13):
        expected = said(f"kf{first + number - 1}")
        if expected:
            assert encode_key(f"{modifier}+f{number}", application_cursor=False) == expected


@pytest.mark.parametrize(("key", "final"), CURSOR.items())
def test_cursor_keys_follow_the_application_cursor_mode(key: str, final: str) -> None:
    assert encode_key(key, application_cursor=False) == f"\x1b[{final}"
    assert encode_key(key, application_cursor=True) == f"\x1bO{final}"
    for on in (False, True):
        assert encode_key(f"ctrl+{key}", application_cursor=on) == f"\x1b[1;5{final}"


@pytest.mark.parametrize(
    ("key", "code"),
    [
        ("tab", "\t"),
        ("space", " "),
        ("escape", "\x1b"),
        ("esc", "\x1b"),
        ("backtab", "\x1b[Z"),
        ("ctrl+a", "\x01"),
        ("ctrl+z", "\x1a"),
        ("ctrl+space", "\x00"),
        ("ctrl+@", "\x00"),
        ("ctrl+[", "\x1b"),
        ("ctrl+\\", "\x1c"),
        ("ctrl+]", "\x1d"),
        ("ctrl+^", "\x1e"),
        ("ctrl+_", "\x1f"),
        ("ctrl+?", "\x7f"),
        ("alt+x", "\x1bx"),
        ("alt+X", "\x1bX"),
        ("alt++", "\x1b+"),
        ("alt+é", "\x1bé"),
        ("alt+ ", "\x1b "),
        ("alt+enter", "\x1b\r"),
        ("alt+esc", "\x1b\x1b"),
        ("alt+backspace", "\x1b\x7f"),
        ("alt+backtab", "\x1b\x1b[Z"),
        ("alt+shift+tab", "\x1b\x1b[Z"),
        ("ctrl+alt+c", "\x1b\x03"),
        ("alt+f1", "\x1b[1;3P"),
        ("ctrl+shift+alt+f12", "\x1b[24;8~"),
        ("shift+ctrl+left", "\x1b[1;6D"),
    ],
)
def test_other_keys_send_what_xterm_sends(key: str, code: str) -> None:
    assert encode_key(key, application_cursor=False) == code


@pytest.mark.parametrize("key", ["Enter", "CTRL+C", "Ctrl+c", "F5", "Alt+F4", "PageUp", "ESC"])
def test_names_are_in_any_case(key: str) -> None:
    small = encode_key(key.lower(), application_cursor=False)
    assert encode_key(key, application_cursor=False) == small


@pytest.mark.parametrize("name", NAMES)
def test_every_named_key_can_be_sent_and_with_alt(name: str) -> None:
    plain = encode_key(name, application_cursor=False)
    with_alt = encode_key(f"alt+{name}", application_cursor=False)
    if name in CURSOR or name in FUNCTION or plain.endswith("~"):
        assert ";3" in with_alt
    else:
        assert with_alt == f"\x1b{plain}"


def test_ctrl_makes_control_characters_of_all_letters() -> None:
    for number, letter in enumerate("abcdefghijklmnopqrstuvwxyz", start=1):
        assert CONTROL[letter] == chr(number)


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("c-x", "ctrl+x"),
        ("C-c", "ctrl+c"),
        ("^C", "ctrl+c"),
        ("ctrl-c", "ctrl+c"),
        ("Control+D", "ctrl+d"),
        ("M-x", "alt+x"),
        ("arrow_up", "up"),
        ("ArrowLeft", "left"),
        ("return", "enter"),
        ("shift+pgup", "shift+pageup"),
        ("entr", "enter"),
        ("pagedwn", "pagedown"),
        ("f13", "f1"),
        ("y", "console_send_input"),
    ],
)
def test_a_key_that_is_none_is_refused_with_what_was_meant(key: str, hint: str) -> None:
    with pytest.raises(BadRequest) as refused:
        encode_key(key, application_cursor=False)
    assert refused.value.details == {"field": "key"}
    assert repr(key) in refused.value.message
    assert hint in refused.value.message


@pytest.mark.parametrize(
    "key",
    [
        "",
        "+",
        "ctrl",
        "ctrl+",
        "ctrl+ctrl+a",
        "ctrl+é",
        "shift+a",
        "alt+\n",
        "a" * 10_000,
        "\x1b[A",
    ],
)
def test_a_key_that_is_like_none_is_refused_in_a_short_sentence(key: str) -> None:
    with pytest.raises(BadRequest) as refused:
        encode_key(key, application_cursor=False)
    assert len(refused.value.message) < 200
    assert "\x1b" not in refused.value.message


@given(st.text(max_size=30), st.booleans())
def test_any_text_for_a_key_is_sent_or_refused(key: str, application_cursor: bool) -> None:
    try:
        result = encode_key(key, application_cursor=application_cursor)
    except BadRequest as refused:
        result = refused.details["field"]
    assert result


def test_a_paste_ends_its_lines_as_the_enter_key_does() -> None:
    assert paste("one\ntwo\r\nthree\rfour", bracketed=False) == "one\rtwo\rthree\rfour"


def test_a_bracketed_paste_stands_in_the_brackets_of_terminfo() -> None:
    assert paste("one\ntwo", bracketed=True) == f"{said('PS')}one\rtwo{said('PE')}"


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        ("a\x1b[201~b", "ab"),
        ("a\x1b\x1b[201~[201~b", "a[201~b"),
        ("a\x1bOAb", "aOAb"),
    ],
)
def test_a_paste_cannot_leave_its_brackets(text: str, inside: str) -> None:
    assert paste(text, bracketed=True) == f"\x1b[200~{inside}\x1b[201~"


@given(st.text(alphabet="\x1b[201~a\r\n"))
def test_no_text_ends_its_own_paste(text: str) -> None:
    code = paste(text, bracketed=True)
    assert code.count("\x1b") == 2
    assert code.startswith("\x1b[200~") and code.endswith("\x1b[201~")
