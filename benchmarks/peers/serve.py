"""How a measured process is told what to do. Plain Python: every peer has its own interpreter."""

import json
import sys
import time
from collections.abc import Callable


def serve(run: Callable[[int], None], about: dict) -> None:
    """Prints `about` as a line of JSON; then, for each line of standard input, runs so many steps and prints seconds.

    Args:
      run: makes n steps, and returns when the last is done.
      about: what is told of the peer: `parameters` of both networks.
    """
    print(json.dumps(about), flush=True)
    for line in sys.stdin:
        start = time.perf_counter()
        run(int(line))
        print(time.perf_counter() - start, flush=True)
