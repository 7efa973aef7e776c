"""Marks are found where they are, and nothing else is one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console_automation.core.marks import Mark, MarkKind, find_marks

ID = "0123456789abcdef"

ids = st.text("0123456789abcdef", min_size=16, max_size=16)
written = st.one_of(
    st.just((MarkKind.PROMPT, "zsh", None)),
    st.tuples(st.just(MarkKind.BEGIN), st.none() | ids, st.none()),
    st.tuples(st.just(MarkKind.END), ids, st.integers(0, 255)),
)
plain = st.binary().filter(lambda data: b"\x1b" not in data)


def bytes_of(kind: MarkKind, command_id: str | None, exit_code: int | None) -> bytes:
    fields = [kind.value, exit_code, command_id]
    return f"\x1b]133;{';'.join(str(f) for f in fields if f is not None)}\x07".encode()


@given(st.lists(st.tuples(plain, written)), plain)
def test_every_mark_is_found_where_it_stands(parts: list[tuple[bytes, tuple]], rest: bytes) -> None:  # type: ignore[type-arg]
    data, expected = b"", []
    for before, (kind, command_id, code) in parts:
        mark = bytes_of(kind, command_id, code)
        start = len(data) + len(before)
        data += before + mark
        place = {"start": start, "end": len(data)}
        if kind is MarkKind.PROMPT:
            expected.append(Mark(kind=kind, shell=command_id, **place))
        else:
            expected.append(Mark(kind=kind, command_id=command_id, exit_code=code, **place))
    assert find_marks(data + rest) == expected


@given(st.binary())
def test_any_bytes_are_searched_without_an_error(data: bytes) -> None:
    find_marks(data)


@pytest.mark.parametrize(
    "other",
    [
        "\x1b]133;D\x07",
        "\x1b]133;D;0\x07",
        "\x1b]133;D;;" + ID + "\x07",
        "\x1b]133;D;x;" + ID + "\x07",
        "\x1b]133;D;0;" + ID.upper() + "\x07",
        "\x1b]133;D;0;" + ID + "0\x07",
        "\x1b]133;D;0;" + ID + "\x1b\\",
        "\x1b]133;A;special_key=1\x07",
        "\x1b]133;B\x07",
        "\x1b]133;C;cmdline_url=ls\x07",
        "\x1b]133;C;" + ID,
        "133;A;sh\x07",
        "\x1b]133;A\x07",
        "\x1b]133;A;ksh\x07",
    ],
)
def test_what_only_looks_like_a_mark_is_none(other: str) -> None:
    assert find_marks(other.encode()) == []
    assert len(find_marks(other.encode() + b"\x1b]133;A;sh\x07")) == 1
