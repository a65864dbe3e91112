"""Bring one dataset up to date in a process that a test may kill: HOME MEDIA."""

import sys
from pathlib import Path

from tests.workshop import Workshop

if __name__ == "__main__":
    Workshop(Path(sys.argv[1]), sys.argv[2]).run()
