"""cleanvision's verdicts, given by a Python of its own so that its packages stay out of ours.

Set ``CLEANVISION_PYTHON`` to the interpreter of an environment that has cleanvision (0.3.7 was tried). ``flags`` runs
this file with it.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

# cleanvision's names of what we call otherwise.
ISSUES = {name: name for name in ("dark", "blurry", "low_information", "grayscale", "odd_aspect_ratio", "odd_size")}
ISSUES["bright"] = "light"


def flags(paths: Sequence[Path]) -> tuple[dict[str, list[bool]], float] | None:
    """Return by issue whether cleanvision flags each file, and its CPU seconds; None where it is not set up."""
    python = os.environ.get("CLEANVISION_PYTHON")
    if not python:
        print("cleanvision left out: set CLEANVISION_PYTHON to the Python of an environment that has it")
        return None
    names = json.dumps([str(path) for path in paths])
    run = subprocess.run([python, __file__], input=names, capture_output=True, text=True, check=False)
    if run.returncode:
        raise SystemExit(f"cleanvision failed: {run.stderr[-500:]}")
    found = json.loads(run.stdout.splitlines()[-1])
    return {issue: found["flags"][theirs] for issue, theirs in ISSUES.items()}, found["seconds"]


def main() -> None:
    import time

    from cleanvision import Imagelab

    names = json.load(sys.stdin)
    started = time.process_time()
    lab = Imagelab(filepaths=names)
    lab.find_issues({name: {} for name in ISSUES.values()}, n_jobs=1, verbose=False)
    seconds = time.process_time() - started
    flagged = {name: lab.issues.loc[names, f"is_{name}_issue"].tolist() for name in ISSUES.values()}
    print()
    print(json.dumps({"flags": flagged, "seconds": seconds}))


if __name__ == "__main__":
    main()
