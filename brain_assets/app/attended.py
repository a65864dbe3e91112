"""``python -m brain_assets.app.attended MODULE ARGUMENT ...`` runs a module as long as the process that started it lives.

A service whose first process is killed must not leave its daemon behind, which would answer beside that of the next one.
"""

import os
import runpy
import signal
import sys
import threading
import time

POLL_SECONDS = 0.5
PATIENCE_SECONDS = 20


def _attend(parent: int) -> None:
    """End this process, politely at first, when its parent is gone."""
    while os.getppid() == parent:
        time.sleep(POLL_SECONDS)
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(PATIENCE_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)


def main(module: str, *arguments: str) -> None:
    """Run a module with arguments as ``python -m`` does."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A script that starts something in the background has it ignore Ctrl-C; what we start, we stop by that.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=_attend, args=(os.getppid(),), daemon=True).start()
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
