"""What an isolated function's process runs first: it ties its life to the gateway's, then becomes AWS's runtime client.

The gateway passes this file's text to the function's own Python, which need not have Roost: nothing here may import it.
Arguments: the gateway's process id, the handler.
"""

import os
import runpy
import sys
import threading


def die_with(gateway: int) -> None:
    """A gateway that is killed cannot end its functions, and one that computes would go on for ever."""
    if sys.platform == "linux":
        import ctypes

        set_parent_death_signal, kill = 1, 9
        ctypes.CDLL(None).prctl(set_parent_death_signal, kill)
        if os.getppid() != gateway:  # it died before
            os._exit(1)
    else:
        threading.Thread(target=_watch, daemon=True).start()


def _watch() -> None:
    """Standard input is a pipe from the gateway, which never writes."""
    os.read(0, 1)
    os._exit(1)


if __name__ == "__main__":
    die_with(int(sys.argv[1]))
    sys.argv = ["awslambdaric", sys.argv[2]]
    runpy.run_module("awslambdaric", run_name="__main__", alter_sys=True)
