"""Runs the command line in processes forked from one that has imported everything: importing takes 15 s, a fork none.

Reads a JSON line a command from stdin: `{"argv", "cwd", "out", "err", "env"}` starts `tailgan`, its output in two files
and more in its environment, and answers `{"pid"}`; `{"wait": pid}` answers `{"code"}`, negative for a signal, as
subprocess has it, and `{"poll": pid}` the same, or null for what still runs.
"""

import json
import os
import signal
import sys

from models import judge, training  # noqa: F401
from pipeline import build, cli, evaluate, node, report, task  # noqa: F401


def start(argv: list[str], cwd: str, out: str, err: str, env: dict[str, str]) -> int:
    """Pid of a fork in which the command runs."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        # A shell lets what it starts in the background ignore interrupts, and so would all that comes of it.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.chdir(cwd)
        os.environ.update(env)
        for path, target in ((os.devnull, 0), (out, 1), (err, 2)):
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
            os.dup2(fd, target)
            os.close(fd)
        sys.argv = ["tailgan", *argv]
        code = cli.main(argv)
    except SystemExit as exit:
        code = exit.code
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def ended(pid: int, flags: int = 0) -> int | None:
    """Exit code of a fork that has ended."""
    gone, status = os.waitpid(pid, flags)
    return os.waitstatus_to_exitcode(status) if gone else None


def main() -> None:
    """Serves until stdin ends."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what the imports print is no answer
    for line in sys.stdin:
        command = json.loads(line)
        if "wait" in command:
            answer = {"code": ended(command["wait"])}
        elif "poll" in command:
            answer = {"code": ended(command["poll"], os.WNOHANG)}
        else:
            answer = {"pid": start(**command)}
        print(json.dumps(answer), file=answers)


if __name__ == "__main__":
    main()
