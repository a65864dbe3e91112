"""The oldest versions that pyproject.toml allows, as constraints for pip: ``python tests/lowest.py > constraints.txt``."""

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).parent.parent / "pyproject.toml"
BOUND = re.compile(r"([\w.-]+)(>=|==)([\w.]+)")


def lowest() -> Iterator[str]:
    """Yield a constraint for each direct dependency of the core that has a lower bound."""
    for text in tomllib.loads(PROJECT.read_text("utf-8"))["project"]["dependencies"]:
        if bound := BOUND.match(text):
            name, kind, version = bound.groups()
            series = ".".join(version.split(".")[:2])
            # Of the oldest series the last, as first ones are often withdrawn.
            yield f"{name}=={version}" if kind == "==" else f"{name}>={version},=={series}.*"


if __name__ == "__main__":
    sys.stdout.write("\n".join(lowest()) + "\n")
