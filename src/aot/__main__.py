"""`aot` and `python -m aot`. Ctrl-C ends without a traceback, from this file's first line to the interpreter's end."""

import signal
import sys


def main() -> None:
    """As `aot.cli.main`."""
    heard = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if heard:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from aot.cli import main as command_line

    try:
        if heard:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        command_line()
    except KeyboardInterrupt:  # before or after a command, which has words for it
        sys.exit(128 + signal.SIGINT)
    finally:
        if heard:
            signal.signal(signal.SIGINT, signal.SIG_DFL)


if __name__ == "__main__":
    main()
