"""`python -m console_automation.frontends.cli`: the program `job`, wherever it is installed."""

import sys

try:
    from console_automation.frontends.cli.program import JOB

    code = JOB.main(sys.argv[1:])
except KeyboardInterrupt:  # while it was being imported
    code = 130
sys.exit(code)
