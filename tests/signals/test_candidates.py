"""Which pairs are compared: every copy of every image, at the cost of what is new."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from brain_assets.methods.duplicates import verification
from brain_assets.methods.duplicates.perceptual_hash import pair_hamming
from brain_assets.methods.duplicates.relations import CLOSE
from brain_assets.resources.dataset import Opening, open_dataset
from brain_assets.signals.duplicates import pairs as pairs_module
from brain_assets.signals.duplicates.pairs import preview_pixels
from tests.signals.test_near_duplicates import photo
from tests.workshop import Workshop, assert_equals_rebuild, encoded, picture, previews

ASSETS = ("samples", "media", "exact_duplicates", "embeddings", "similarity", "near_duplicates", "leaks", "published")
SPLITS = ("train", "val", "test")
# Neither radius nor hashes find anything but equal hashes: copies are reached through neighbours alone.
BLIND = {"radius": 0.0, "hash_bits": 0}
CROSSING = "select count(*) from leaks where sample_id < partner_id"


PHOTO = photo(1)


def crop(number: int) -> Image.Image:
    """Return one of many slightly different crops of one photo."""
    chance = np.random.default_rng(number)
    left, top = chance.integers(0, 9, 2)
    return PHOTO.crop((left, top, left + 128 - chance.integers(8, 12), top + 96 - chance.integers(8, 12)))


def write_crowd(root: Path, numbers: Iterable[int], make: Callable[[int], Image.Image] = crop) -> None:
    """Write crops dealt out to three splits, and vectors that are farther apart than the radius."""
    for number in numbers:
        path = root / "media" / SPLITS[number % 3] / f"{number:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(make(number)))
    names = sorted(str(path.relative_to(root / "media")) for path in (root / "media").rglob("*.png"))
    lines = [f'{name},"{json.dumps(vector(int(Path(name).stem)).tolist())}"' for name in names]
    (root / "vectors.csv").write_text("\n".join(["filepath,vector", *lines]))


def vector(number: int) -> np.ndarray:
    noise = np.random.default_rng(number).standard_normal(15)
    return np.array([1.0, *(0.2 * noise)]).round(4)


def make(root: Path, home: str = "home", **settings: object) -> Workshop:
    return Workshop(
        root / home, root / "media", split_from="folder", embeddings={"model": f"precomputed:{root / 'vectors.csv'}"},
        similarity={"k": 6}, near_duplicates=BLIND | settings,
    )  # fmt: skip


def all_distances(workshop: Workshop) -> dict[tuple[str, str], float]:
    """Return the distance of all pairs, compared all with all."""
    query = """
        select content_hash, vector, phash, phash_mirrored from media join samples using (content_hash)
        join embeddings using (sample_id) join vectors using (model_version, input_key) order by 1"""
    with open_dataset(workshop.home, workshop.name, Opening("look", "test")) as dataset:
        rows = dataset.store.rows(query)
    pictures = previews(workshop)
    prints = verification.prints_of(preview_pixels(pictures[row[0]]) for row in rows)
    vectors = np.array([row[1] for row in rows])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    hashes, mirrored = (np.array([row[place] for row in rows], np.uint64) for place in (2, 3))
    first, second = np.triu_indices(len(rows), 1)
    cosine = 1 - np.einsum("ij,ij->i", vectors[first], vectors[second])
    agreement = verification.verify(prints, first, second)
    distance = verification.duplicate_distance(cosine, pair_hamming(hashes, mirrored, first, second), agreement)
    return {(rows[a][0], rows[b][0]): d for a, b, d in zip(first, second, distance, strict=True)}


@pytest.mark.slow
def test_a_crowd_is_compared_all_with_all_at_the_cost_of_the_newcomer(tmp_path: Path) -> None:
    write_crowd(tmp_path, range(24))
    workshop = make(tmp_path)
    workshop.run(ASSETS)
    everything = all_distances(workshop)
    near = {pair for pair, distance in everything.items() if distance <= CLOSE}
    assert len(near) > 24 * 23 / 4
    found = workshop.rows(
        "select least(a.content_hash, b.content_hash), greatest(a.content_hash, b.content_hash), distance from pairs"
        " join samples a on a.sample_id = subject_id join samples b on b.sample_id = partner_id"
    )
    assert {(a, b) for a, b, distance in found if distance <= CLOSE} == near
    np.testing.assert_allclose([row[2] for row in found], [everything[row[:2]] for row in found], atol=1e-5)
    split = dict(workshop.rows("select content_hash, split from samples"))
    crossing = [pair for pair in near if split[pair[0]] != split[pair[1]]]
    assert workshop.rows(CROSSING) == [(len(crossing),)]

    write_crowd(tmp_path, [24])
    assert 5 <= workshop.run(ASSETS)["near_duplicates"].notes["pairs verified in this run"] <= 24
    (tmp_path / "media" / "train" / "003.png").unlink()
    write_crowd(tmp_path, [])
    # Others step into the lists that it leaves, but all of the crowd know each other.
    assert workshop.run(ASSETS)["near_duplicates"].notes["pairs verified in this run"] == 0
    rebuild = make(tmp_path, "rebuild")
    rebuild.run(ASSETS)
    assert_equals_rebuild(workshop, rebuild)


def test_another_threshold_measures_only_what_it_makes_a_candidate(tmp_path: Path) -> None:
    write_crowd(tmp_path, range(12))
    workshop = make(tmp_path)
    assert workshop.run(ASSETS)["near_duplicates"].notes["pairs verified in this run"] == 12 * 11 / 2
    make(tmp_path, threshold=0.01)
    notes = workshop.run(ASSETS)["near_duplicates"].notes
    assert (notes["threshold"], notes["pairs verified in this run"]) == (0.01, 0)
    assert workshop.rows(CROSSING) == [(0,)]


@pytest.mark.parametrize(("count", "largest"), [(200, 1000), (90, 80)])
def test_near_copies_over_three_splits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, largest: int
) -> None:
    monkeypatch.setattr(pairs_module, "_looked_at", lambda _, __, first, ___: agreeing(len(first)))
    write_crowd(tmp_path, range(count), picture)
    workshop = make(tmp_path, crowd=largest, threshold=CLOSE)
    notes = workshop.run(ASSETS)["near_duplicates"].notes
    crossing = sum(a % 3 != b % 3 for a in range(count) for b in range(a))
    found = workshop.rows(CROSSING)[0][0]
    told = notes.get("clusters not compared all with all")
    if count <= largest:
        assert told is None
        assert found == crossing
        assert workshop.rows("select count(*) from near_duplicates where not keep") == [(count - 1,)]
    else:
        assert count < found < crossing / 2
        assert told == "1, the largest of 90 images: near_duplicates.crowd is 80"


def agreeing(count: int) -> tuple[np.ndarray, ...]:
    """Return what is found of pairs that agree, without corners."""
    return np.full(count, 0.95), np.full(count, np.nan), np.full((count, 8), np.nan)


@pytest.mark.parametrize("candidates", [1, 3])
def test_lists_are_followed_beyond_copies(tmp_path: Path, candidates: int) -> None:
    # The farthest neighbour of 0 is a copy like all others; nothing else connects the two ends of the row.
    for number in range(6):
        path = tmp_path / "media" / SPLITS[number % 3] / f"{number:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(crop(number) if number in (0, 1, 2, 5) else photo(20 + number)))
    vectors = [[1.0, 0.1 * number] for number in range(6)]
    lines = [f'{SPLITS[n % 3]}/{n:03}.png,"{json.dumps(vectors[n])}"' for n in range(6)]
    (tmp_path / "vectors.csv").write_text("\n".join(["filepath,vector", *lines]))
    workshop = make(tmp_path, candidates=candidates)
    workshop.run(ASSETS)
    kept = workshop.rows("select count(*) from near_duplicates where not keep")
    assert kept == [(3,)]
