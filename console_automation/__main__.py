"""The command `console-automation`. The bridge is reached without importing anything heavy."""

import sys

from console_automation import NOT_ON_WINDOWS


def main() -> int:
    """Run the command line; returns the exit code."""
    if sys.platform == "win32":
        sys.stderr.write(f"{NOT_ON_WINDOWS}\n")
        return 4
    if sys.argv[1:] == ["mcp"]:
        from console_automation import paths
        from console_automation.frontends import bridge

        return bridge.main(paths.home())
    from console_automation.frontends import cli

    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
