"""Patterns that clients send: RE2, which takes linear time, whatever the pattern."""

from typing import Any

import re2

from console_automation.errors import BadRequest

_MEMORY = 8 << 20
STEPS = 10_000


def compile_pattern(
    pattern: str,
    *,
    field: str,
    ignore_case: bool = False,
    lines: bool = False,
    steps: int = STEPS,
) -> Any:
    """Return the pattern, with `search(text)` as in `re`; bounds keep the constant small as well.

    With `lines`, ^ and $ match at the ends of lines. `steps` is how many instructions it may take for
    a character. Raises BadRequest.
    """
    options = re2.Options()
    options.case_sensitive = not ignore_case
    options.max_mem = _MEMORY
    options.log_errors = False
    try:
        compiled = re2.compile(f"(?m){pattern}" if lines else pattern, options)
    except re2.error as error:
        reason = error.args[0].decode() if isinstance(error.args[0], bytes) else str(error)
        raise BadRequest(
            f"{field}: {reason}. Patterns are RE2: no look-around and no back-references.",
            field=field,
        ) from None
    if compiled.programsize > steps:
        raise BadRequest(
            f"{field}: the pattern takes {compiled.programsize} steps for a character,"
            f" {steps} are allowed. Repeat less, or less wide classes.",
            field=field,
        )
    return compiled
