"""`python -m console_automation.frontends.cli`: the program `job`, wherever it is installed."""

import sys

from console_automation.frontends.cli.program import JOB

sys.exit(JOB.main(sys.argv[1:]))
