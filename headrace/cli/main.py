"""From the command line to an exit status; every expected failure is a message, no traceback."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from headrace.errors import HeadraceError

FAILED, USAGE, INTERRUPTED, CLOSED_PIPE = 1, 2, 130, 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; gives the exit status.

    0 success, 1 a `HeadraceError`, 2 wrong usage, 130 Ctrl-C, 141 nobody reads the output.
    """
    from cyclopts import CycloptsError

    from headrace.cli.app import app

    try:
        return app(
            arguments,
            exit_on_error=False,
            result_action="return_int_as_exit_code_else_zero",
        )
    except CycloptsError:
        return USAGE  # cyclopts has told
    except HeadraceError as error:
        print(f"headrace: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The interpreter flushes stdout once more when it ends, which must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CLOSED_PIPE
