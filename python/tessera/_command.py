"""The command ``tessera``."""

import sys

from . import _core


def main() -> int:
    """Runs the command with the words of this process; returns the exit code."""
    sys.stdout.flush()
    return _core.command(sys.argv[1:], sys.stdout.isatty(), sys.stderr.isatty())
