"""What is found of 26 edits of unseen photos, at several shares of edits in the set, at one setting.

    python -m tests.benchmarks.benchmark_copies [--photos FOLDER] [--sheet FILE]

Photos are those of ``BRAIN_TEST_DATA/clothing`` unless a folder is given. Each draw plants edits of other photos with
other chances; edits take turns. Beside it stands the perceptual hash at 10 bits. ``--sheet`` shows the pairs of photos
that nobody planted and that count as copies, for people to judge: two photos of a set may be copies.
"""

import argparse
import io
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from brain_assets.methods.duplicates.perceptual_hash import hamming_distance, hash_pairs, pair_hamming
from brain_assets.methods.duplicates.relations import LISTED, UNRELATED, Evidence, related, usual_distance
from brain_assets.methods.duplicates.verification import duplicate_distance
from brain_assets.resources.settings.configuration import NearDuplicateSettings
from brain_assets.signals.duplicates.looks import Looks
from tests.benchmarks.benchmark_duplicates import joined
from tests.benchmarks.copy_edits import EDITS, encoded
from tests.benchmarks.embedded_images import EmbeddedImages, embed
from tests.conftest import SHARED

SETTINGS = NearDuplicateSettings()
SHARES = (0.0, 0.01, 0.1, 0.5)
MOST_DRAWS = 26
HASH_BITS = 10
Pair = tuple[int, int]


@dataclass
class Found:
    """What a rule found over all draws at one share."""

    hits: dict[str, list[bool]] = field(default_factory=lambda: defaultdict(list))
    false: set[Pair] = field(default_factory=set)
    flagged: int = 0

    def line(self, name: str) -> str:
        every = [hit for hits in self.hits.values() for hit in hits]
        recall = np.mean(every) if every else float("nan")
        precision = sum(every) / max(self.flagged, 1)
        f1 = 2 * precision * recall / max(precision + recall, 1e-9)
        return (
            f"{name:9s} recall {recall:.3f}, precision {precision:.3f}, F1 {f1:.3f}, {len(self.false)} unplanted pairs"
        )


class Measurements:
    """Distances of pairs, each measured once over all draws: a pair's depends on its two pictures only."""

    def __init__(self, images: EmbeddedImages) -> None:
        self.images = images
        self.known: dict[Pair, tuple[np.ndarray, ...]] = {}
        self.looks = Looks.at(iter(images.previews))
        self.seconds = 0.0

    def of(self, first: np.ndarray, second: np.ndarray) -> Evidence:
        started = time.process_time()
        new = [pair for pair in zip(first.tolist(), second.tolist(), strict=True) if pair not in self.known]
        if new:
            columns = self.looks.compared(*np.array(new).T)
            self.known.update(zip(new, zip(*columns, strict=True), strict=True))
        self.seconds += time.process_time() - started
        rows = [self.known[pair] for pair in zip(first.tolist(), second.tolist(), strict=True)]
        verification, change = (np.array([row[place] for row in rows]) for place in (0, 1))
        vectors, hashes = self.images.vectors, self.images.hashes
        cosine = 1 - np.einsum("ij,ij->i", vectors[first], vectors[second]).astype(np.float64)
        distance = duplicate_distance(cosine, pair_hamming(hashes, self.images.mirrored, first, second), verification)
        bits = hamming_distance(hashes[first], hashes[second])
        return Evidence(distance, verification, change, np.array([row[2] for row in rows]), bits)


def copies(measured: Measurements, rows: np.ndarray) -> np.ndarray:
    """Return the (m, 2) pairs among some of the images that count as copies, as the pipeline judges them."""
    vectors = measured.images.vectors[rows]
    cosine = 1 - vectors @ vectors.T
    np.fill_diagonal(cosine, np.inf)
    lists = np.argsort(cosine, axis=1, kind="stable")[:, :LISTED]
    near = np.take_along_axis(cosine, lists, 1) <= SETTINGS.candidate_distance
    source, slot = np.nonzero(near)
    hashed = hash_pairs(measured.images.hashes[rows], measured.images.mirrored[rows], SETTINGS.hash_bits)
    a, b = np.r_[source, hashed.first], np.r_[lists[source, slot], hashed.second]
    # Of a picture that resembles none only the first few of its list are compared by the pipeline; more do no harm here.
    keys = np.unique(np.minimum(rows[a], rows[b]) * len(measured.images.names) + np.maximum(rows[a], rows[b]))
    first, second = np.divmod(keys, len(measured.images.names))
    evidence = measured.of(first, second)
    at = dict(zip(zip(first.tolist(), second.tolist(), strict=True), evidence.distance.tolist(), strict=True))
    listed = np.full(lists.shape, UNRELATED)
    for row, place in zip(source.tolist(), slot.tolist(), strict=True):
        ends = sorted((int(rows[row]), int(rows[lists[row, place]])))
        listed[row, place] = min(at[ends[0], ends[1]], UNRELATED)
    usual = np.full(len(measured.images.names), np.nan)
    usual[rows] = usual_distance(listed, len(rows))
    relation = related(evidence, np.minimum(usual[first], usual[second]))
    return np.column_stack([first, second])[np.isin(relation, SETTINGS.relations)]


def hashed(measured: Measurements, rows: np.ndarray) -> np.ndarray:
    found = hash_pairs(measured.images.hashes[rows], measured.images.mirrored[rows], HASH_BITS)
    return np.sort(np.column_stack([rows[found.first], rows[found.second]]), axis=1)


@dataclass(frozen=True)
class Planted:
    """One edit of a photo: its name, the photo, and the other one that a collage shows."""

    edit: str
    source: int
    beside: int | None


def planted(files: Sequence[Path]) -> tuple[list[Planted], EmbeddedImages]:
    """Return an edit of every photo; which of the 26 follows from its place."""
    made, data = [], []
    for place, path in enumerate(files):
        edit, chance = list(EDITS)[place % len(EDITS)], np.random.default_rng(place)
        beside = int(chance.integers(len(files)))
        picture, other = (opened(one) for one in (path, files[beside]))
        made.append(Planted(edit, place, beside if edit.startswith("collage") else None))
        data.append((edit, encoded(EDITS[edit](picture, chance, other))))
    return made, embed("copies-planted", data)


def opened(path: Path) -> Image.Image:
    picture = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    picture.thumbnail((900, 900))
    return picture


def judge(found: Found, pairs: np.ndarray, drawn: Sequence[int], made: Sequence[Planted], count: int) -> None:
    """Count an edit found where it is paired with its photo; pairs of two photos, or of edits of two, are false."""
    sources = {count + one: {made[one].source, made[one].beside} - {None} for one in drawn}
    known = {tuple(pair) for pair in pairs.tolist()}
    for one in drawn:
        found.hits[made[one].edit].append((made[one].source, count + one) in known)
        found.flagged += found.hits[made[one].edit][-1]
    for first, second in known:
        shared = sources.get(first, {first}) & sources.get(second, {second})
        if not shared:
            found.false.add((first, second))
            found.flagged += 1


def report(files: Sequence[Path], sheet: Path | None) -> None:
    originals = embed("copies-photos", [(path.stem, file_bytes(path)) for path in files])
    made, edits = planted(files)
    count = len(files)
    started = time.process_time()
    measured = Measurements(joined(originals, edits))
    looking = time.process_time() - started
    chance = np.random.default_rng(0)
    for share in SHARES:
        wanted = round(share / (1 - share) * count)
        draws = 1 if share in (0.0, 0.5) else MOST_DRAWS if share < 0.05 else 4
        ours, theirs = Found(), Found()
        for _ in range(draws):
            drawn = sorted(chance.permutation(count)[:wanted].tolist())
            rows = np.array([*range(count), *(count + one for one in drawn)])
            judge(ours, copies(measured, rows), drawn, made, count)
            judge(theirs, hashed(measured, rows), drawn, made, count)
        print(f"{share:.0%} edits, {draws} draws: {ours.line('evidence')}\n{'':20s} {theirs.line('pHash')}", flush=True)
    for edit, hits in ours.hits.items():
        print(f"    {edit:28s} {np.mean(hits):.2f}   pHash {np.mean(theirs.hits[edit]):.2f}")
    pair = 1e3 * measured.seconds / len(measured.known)
    print(f"CPU: {1e3 * looking / (2 * count):.2f} ms to look at a photo, {pair:.2f} ms a pair")
    if sheet:
        draw(sheet, measured.images, sorted(ours.false))


def file_bytes(path: Path) -> bytes:
    data = io.BytesIO()
    opened(path).save(data, "JPEG", quality=92)
    return data.getvalue()


def draw(path: Path, images: EmbeddedImages, pairs: Sequence[Pair], side: int = 128, width: int = 6) -> None:
    canvas = Image.new("RGB", (width * (2 * side + 12), (len(pairs) // width + 1) * (side + 6)), "white")
    for place, pair in enumerate(pairs):
        for offset, one in enumerate(pair):
            corner = (place % width) * (2 * side + 12) + offset * side, (place // width) * (side + 6)
            canvas.paste(Image.fromarray(images.previews[one]).resize((side, side)), corner)
    canvas.save(path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, default=SHARED / "clothing")
    parser.add_argument("--sheet", type=Path)
    given = parser.parse_args()
    suffixes = {".jpg", ".jpeg", ".png"}
    readable = sorted(path for path in given.photos.rglob("*") if path.suffix.lower() in suffixes)
    report(readable, given.sheet)
