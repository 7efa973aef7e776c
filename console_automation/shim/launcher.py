"""The launcher: a small warm process that forks shims when its daemon asks for them.

Started as `python -I -S launcher.py <control fd> <shim socket> <uses>`. Each byte on the control
socket asks for one shim. When the daemon is gone the launcher ends; live shims go on without it.
"""

import gc
import os
import select
import signal
import socket
import sys

sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from console_automation.shim import shim

_REHEARSALS = 10  # the interpreter specializes code that has run eight times


def main(control: socket.socket, path: str, uses: int) -> None:
    """Fork a shim per byte received until the control socket ends."""
    shim.set_signals()  # the shims inherit them
    wake = shim.be_woken()
    try:
        for _ in range(_REHEARSALS):
            shim.rehearse(f"{path}.{os.getpid()}", wake)
    except OSError:
        pass  # no loss: every shim learns by itself
    gc.collect()
    gc.freeze()
    gc.disable()  # a collection would touch, and so copy, every page that shims share
    while True:
        ready, _, _ = select.select([control.fileno(), wake], [], [])
        if wake in ready:
            os.read(wake, 512)
            _reap()
        if control.fileno() in ready:
            wanted = control.recv(256)
            if not wanted:
                return
            for _ in wanted:
                if os.fork() == 0:
                    os.close(signal.set_wakeup_fd(-1))
                    os.close(wake)
                    control.close()
                    _become_shim(path, uses)


def _become_shim(path: str, uses: int) -> None:
    try:
        os.setsid()
        shim.serve(path, uses)
        os._exit(0)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        sys.stderr.flush()
        os._exit(1)


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])), sys.argv[2], int(sys.argv[3]))
