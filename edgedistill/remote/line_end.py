"""On the device: nobody is left to work for when the line ends, whether it broke or Ctrl-C closed it."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable

_GRACE_S = 15


def interrupt_at_line_end(clean: Callable[[], object]) -> Callable[[], None]:
    """Raise KeyboardInterrupt in the main thread when standard input ends, as when ssh hangs up.

    Args:
        clean: what to do where the program does not end by that within a quarter of a minute; then it is ended.

    Returns:
        what ends this: called when the work is done.
    """
    done = threading.Event()
    for name in ("SIGHUP", "SIGTERM"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.default_int_handler)

    def watch() -> None:
        with contextlib.suppress(OSError):
            while os.read(0, 4096):  # unbuffered: a thread that waits in a buffer's lock cannot be left at the end
                pass
        if done.is_set():
            return
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(_GRACE_S)
        clean()
        os._exit(130)

    threading.Thread(target=watch, daemon=True).start()
    return done.set
