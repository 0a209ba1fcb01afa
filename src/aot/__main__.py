"""`aot` and `python -m aot`. Ctrl-C while the command line itself is imported ends without a traceback."""

import signal


def main() -> None:
    """As `aot.cli.main`."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from aot.cli import main as command_line

    signal.signal(signal.SIGINT, before)
    command_line()


if __name__ == "__main__":
    main()
