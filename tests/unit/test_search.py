"""Searching output: what is passed over in bulk is what does not match line by line."""

import re2
from hypothesis import example, given
from hypothesis import strategies as st

from console_automation.core.output import Chunk, Lines
from console_automation.engine.output import OutputQuery, _sieve

PATTERNS = [
    "a",
    "^a",
    "a$",
    "^$",
    "^a*$",
    r"\Aa",
    r"a\z",
    "(?i)A",
    "(?s)a.b",
    "(?-s)a.b",
    "[^a]",
    r"\bab\b",
    r"\B",
    "é",
    "a|^b$",
    "(?m)^b",
    "(?:a)(?P<n>b)",
    r"a\s*b",
    "\ufffd",
]
PIECES = st.sampled_from(
    [b"a", b"b", b"ab", b"\n", b"\r\n", b"\r", b" ", "é".encode(), b"\xc3", b"\xff"]
)


@given(
    pattern=st.sampled_from(PATTERNS),
    texts=st.lists(st.lists(PIECES, max_size=8).map(b"".join), max_size=6),
    streams=st.lists(st.sampled_from(["stdout", "stderr"]), min_size=6, max_size=6),
    ignore_case=st.booleans(),
)
@example(pattern="a$", texts=[b"a\r\nb\n"], streams=["stdout"] * 6, ignore_case=False)
@example(pattern="^$", texts=[b"b\n\n"], streams=["stdout"] * 6, ignore_case=False)
def test_a_line_that_matches_is_never_passed_over(
    pattern: str, texts: list[bytes], streams: list[str], ignore_case: bool
) -> None:
    query = OutputQuery(max_bytes=1, max_chunks=1, grep=pattern, ignore_case=ignore_case)
    options = re2.Options()
    options.case_sensitive = not ignore_case
    compiled = re2.compile(pattern, options)
    chunks = [
        Chunk(number, 0.0, stream, text)
        for number, (text, stream) in enumerate(zip(texts, streams, strict=False), 1)
    ]

    def found(lines: Lines) -> list[tuple[int, str]]:
        ended = [line for chunk in chunks for line in lines.ended_in(chunk)]
        ended += lines.rest(len(chunks) + 1)
        return [(e.sequence, e.text) for e in ended if compiled.search(e.text.rstrip("\r"))]

    assert found(Lines(_sieve(query))) == found(Lines())


def test_what_cannot_match_is_passed_over() -> None:
    lines = Lines(_sieve(OutputQuery(max_bytes=1, max_chunks=1, grep="needle")))
    assert list(lines.ended_in(Chunk(1, 0.0, "stdout", b"hay\nhay\nnee"))) == []
    (line,) = lines.ended_in(Chunk(2, 1.0, "stdout", b"dle\n"))
    assert (line.text, line.at) == ("needle", 0.0)
