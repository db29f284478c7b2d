"""A program for the supervisor's tests: behaves as its first argument says."""

from __future__ import annotations

import os
import signal
import sys
import time

if __name__ == "__main__":
    behaviour, descriptor = sys.argv[1], int(sys.argv[sys.argv.index("--ready-fd") + 1])
    if behaviour == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    elif behaviour == "orderly":
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    if behaviour != "broken":
        os.write(descriptor, b"4711\n")
        os.close(descriptor)
        if behaviour != "brief":
            time.sleep(60)
    sys.exit(3)
