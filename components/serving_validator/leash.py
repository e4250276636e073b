"""Runs a command for as long as somebody holds the other end of standard input, and nothing of it any longer.

Whoever starts a server may be killed at any moment, and then ends nothing; but its end of the pipe closes.

    python leash.py '{"command": [...], "afterwards": [...]}'

Prints the pid of the command, and when it has ended its exit code. What it prints goes to standard error, as does what
`afterwards` prints, a command that clears away what the first may leave. The process group goes with the command, so it
must be one of its own.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence


def main(command: Sequence[str], afterwards: Sequence[str]) -> None:
    """Never returns."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sys.stderr.fileno())
    print(process.pid, flush=True)

    def end() -> None:
        sys.stdin.buffer.read()
        process.kill()  # a server that nobody asks has nothing to end in good order

    threading.Thread(target=end, daemon=True).start()
    code = process.wait()
    with contextlib.suppress(BrokenPipeError):  # nobody may be there any more who would read it
        print(code, flush=True)
    if afterwards:
        subprocess.run(afterwards, stdin=subprocess.DEVNULL, stdout=sys.stderr.fileno(), check=False)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
