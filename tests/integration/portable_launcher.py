"""The launcher as it is on a system with neither subreapers nor a posix_spawn that starts sessions."""

import os
import socket
import sys

sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from console_automation.shim import launcher, run, shim
from console_automation.shim.spawn import fork_and_exec

if __name__ == "__main__":
    shim.become_subreaper = lambda name: False
    run.spawn = fork_and_exec
    launcher.main(socket.socket(fileno=int(sys.argv[1])), sys.argv[2], int(sys.argv[3]))
