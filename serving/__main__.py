"""`python -m serving`: the endpoint with TensorFlow Serving's flags. Needs TensorFlow, not TFX."""

import argparse
import sys
from collections.abc import Sequence

from serving.errors import ServingError
from serving.flags import add_flags, options_of
from serving.server import serve


def main(argv: Sequence[str] | None = None) -> int:
    """Serves; returns 0 when a signal ended it, 130 if interrupted before it served, 2 for a fault in flags, files
    or ports.
    """
    parser = argparse.ArgumentParser(prog="python -m serving", description="TensorFlow Serving's protocol, locally.")
    add_flags(parser)
    try:
        return serve(options_of(parser.parse_args(argv)), lambda line: print(line, flush=True))
    except ServingError as error:
        print(f"serving: {error.message}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
