"""Files with equal bytes that have vectors of their own: copies at distance 0, whatever their vectors say."""

from pathlib import Path

import numpy as np

from tests.workshop import Workshop, encoded, picture, write_pictures

ASSETS = (
    "samples", "media", "ground_truth", "objects", "exact_duplicates", "embeddings", "similarity", "uniqueness",
    "near_duplicates", "leaks", "published",
)  # fmt: skip
COPIED = 3


def test_copies_with_nearly_equal_vectors_are_not_compared_with_themselves(tmp_path: Path) -> None:
    write_pictures(tmp_path / "media", range(30))
    names = [f"{number:05}.png" for number in range(30)] + [f"copy-{number}.png" for number in range(COPIED)]
    chance = np.random.default_rng(0)
    vectors = chance.normal(size=(30, 16))
    for number in range(COPIED):
        (tmp_path / "media" / f"copy-{number}.png").write_bytes(encoded(picture(number)))
    near = vectors[:COPIED] + 1e-4 * chance.normal(size=(COPIED, 16))
    np.savez(tmp_path / "vectors.npz", filepath=np.array(names), vectors=np.concatenate([vectors, near]))
    declared = {"model": f"precomputed:{tmp_path / 'vectors.npz'}"}
    workshop = Workshop(tmp_path / "home", tmp_path / "media", embeddings=declared)
    workshop.run(ASSETS)
    assert workshop.rows("select count(*) from exact_duplicates") == [(2 * COPIED,)]
    assert workshop.rows("select count(*) from near_duplicates where distance > 0") == [(0,)]
    assert workshop.wrong(ASSETS) == {}
