"""What a new environment has to compile before its first results: a handful of functions, each of them once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

# Compile all that verification and maps do, and tell how many functions that took, numba's own ones included.
PROGRAM = """
import numpy as np
from numba.core import event
from brain_assets.methods.duplicates.geometry import overlap
from brain_assets.methods.duplicates.local_features import view_of
from brain_assets.methods.duplicates.perceptual_hash import hash_pairs
from brain_assets.methods.duplicates.verification import prints_of, verify
from brain_assets.methods.images.image_quality import measure
from brain_assets.methods.similarity.layout import umap

with event.install_recorder("numba:compile") as recorder:
    picture = np.random.default_rng(0).integers(0, 256, (128, 128, 3)).astype(np.uint8)
    measure(picture)
    assert len(hash_pairs(np.array([1, 3], np.uint64), np.array([8, 9], np.uint64)).first) == 1
    assert verify(prints_of([picture, picture]), np.array([0]), np.array([1])) > 0.9
    noise = np.kron(picture[:16, :16], np.ones((8, 8, 1), np.uint8))
    assert overlap(view_of(noise), view_of(noise)).agreement > 0.9
    umap(np.array([[1], [0], [3], [2]]), np.full((4, 1), 0.1), np.eye(4)[:, :2])
compiled = [one.data["dispatcher"].py_func for _, one in recorder.buffer if one.is_start]
ours = [function.__name__ for function in compiled if function.__module__.startswith("brain_assets")]
print(len(compiled), *sorted(ours))
"""


@pytest.mark.slow
def test_a_new_environment_compiles_a_handful_of_functions(tmp_path: Path) -> None:
    told = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}, check=True, text=True,
        stdout=subprocess.PIPE,
    ).stdout.split()  # fmt: skip
    assert sorted(set(told[1:])) == [
        "_drawn",
        "_move",
        "changes",
        "epoch",
        "match",
        "moments",
        "products",
        "vote",
    ]
    assert int(told[0]) <= 20
