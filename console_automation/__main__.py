"""The commands `console-automation` and `job`. The bridge is reached without importing anything heavy."""

import sys

from console_automation import NOT_ON_WINDOWS

_INTERRUPTED = 130


def main() -> int:
    """Run `console-automation`; returns the exit code."""
    if sys.platform == "win32":
        return _not_here()
    if sys.argv[1:] == ["mcp"]:
        from console_automation import paths
        from console_automation.frontends import bridge

        return bridge.main(paths.home())
    try:
        from console_automation.frontends.cli.program import SERVER

        return SERVER.main(sys.argv[1:])
    except KeyboardInterrupt:  # while it was being imported
        return _INTERRUPTED


def job() -> int:
    """Run `job`; returns the exit code."""
    if sys.platform == "win32":
        return _not_here()
    try:
        from console_automation.frontends.cli.program import JOB

        return JOB.main(sys.argv[1:])
    except KeyboardInterrupt:
        return _INTERRUPTED


def _not_here() -> int:
    sys.stderr.write(f"{NOT_ON_WINDOWS}\n")
    return 4


if __name__ == "__main__":
    sys.exit(main())
