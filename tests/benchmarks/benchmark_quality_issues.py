"""Planted defects found, good images left alone; cleanvision beside it on the same files.

Run as ``python -m tests.benchmarks.benchmark_quality_issues [FOLDER]``: the folder holds good photos, by default the
clothing of the shared data. Settings are the defaults throughout. ``CLEANVISION_PYTHON`` names a Python that has
cleanvision.

Photos that have a defect of their own, looked at one by one, are listed in `NATURAL` and taken out. For each defect a
share of the others is replaced by defective versions of themselves; recall and precision are pooled over several draws.
Then all defects at once, where a rule must not answer for another's cause. Then ordinary data of other kinds, with
nothing planted: the share of images that each rule flags.
"""

import contextlib
import gzip
import io
import os
import sys
import tempfile
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from brain_assets.methods.images.image_quality import statistics
from brain_assets.methods.images.quality_rules import RULES, calibrate, judge
from brain_assets.resources.decoding.decoding import DecodeJob, Decoder
from tests.benchmarks import cleanvision_flags
from tests.benchmarks.kinds_of_material import KINDS
from tests.benchmarks.planted_defects import DEFECTS, encode, on_white, reduced
from tests.conftest import SHARED

SHARES = (0.01, 0.06, 0.3)
DRAWS = 10
OF_A_KIND = 80
SUFFIXES = {".jpg", ".jpeg", ".png"}
QUALITIES = (75, 85, 95)
# Burnt out: two fifths of the pixels are clipped.
NATURAL = {"56fda6ba-1ee9-4f97-a0fd-55f01f1e2512.jpg"}
Table = dict[str, NDArray[np.float64]]
Variant = tuple[str, str]


def row(rgb: NDArray[np.uint8], size: tuple[int, int], count: int) -> dict[str, float]:
    """Return what the store would hold of an image."""
    facts = {"width": size[0], "height": size[1], "bytes": count, "orientation": 1, "animated": 0}
    return statistics(rgb, facts) | facts | {"extension_matches": 1}


def file_row(encoded: bytes) -> dict[str, float]:
    with Image.open(io.BytesIO(encoded)) as image:
        size = image.size
    return row(reduced(io.BytesIO(encoded)), size, len(encoded))


def table(rows: Iterable[Mapping[str, float]]) -> Table:
    rows = list(rows)
    return {name: np.array([row[name] for row in rows], float) for name in rows[0]}


def take(columns: Table, places: NDArray[np.intp] | NDArray[np.bool_]) -> Table:
    return {name: column[places] for name, column in columns.items()}


def join(tables: Sequence[Table]) -> Table:
    return {name: np.concatenate([columns[name] for columns in tables]) for name in tables[0]}


def flag(columns: Table) -> dict[str, NDArray[np.bool_]]:
    return {issue: verdict.is_issue for issue, verdict in judge(columns, calibrate(columns)).items()}


def plant(paths: Sequence[Path], folder: Path) -> dict[Variant, list[Path]]:
    """Write each defect into each photo."""
    planted: dict[Variant, list[Path]] = {}
    for issue, variants in DEFECTS.items():
        for variant, defect in variants.items():
            planted[issue, variant] = [folder / f"{issue}-{variant}-{path.stem}.jpg" for path in paths]
            for source, target in zip(paths, planted[issue, variant], strict=True):
                generator = np.random.default_rng(zlib.crc32(target.name.encode()))
                with Image.open(source) as image:
                    damaged = defect(image.convert("RGB"), generator)
                target.write_bytes(encode(damaged, int(generator.choice(QUALITIES))))
    return planted


class Photos:
    """Good photos and defective versions of some of them, with the verdicts of cleanvision on each file."""

    def __init__(self, paths: Sequence[Path], folder: Path) -> None:
        self.paths = list(paths)
        order = np.random.default_rng(0).permutation(len(paths))
        self.damaged = order[: round(max(SHARES) * len(paths))]
        planted = plant([paths[place] for place in self.damaged], folder)
        started = time.process_time()
        self.good = table(file_row(path.read_bytes()) for path in paths)
        self.seconds = (time.process_time() - started) / len(paths)
        self.bad = {variant: table(file_row(path.read_bytes()) for path in files) for variant, files in planted.items()}
        self.theirs_good = cleanvision_flags.flags(self.paths)
        self.theirs_bad = self._theirs(planted)

    def _theirs(self, planted: Mapping[Variant, list[Path]]) -> dict[Variant, NDArray[np.bool_]]:
        # Apart from the size, which is not planted, its rules look at one image alone.
        found = cleanvision_flags.flags([path for files in planted.values() for path in files])
        count = len(self.damaged)
        return {
            variant: np.array(found[0][variant[0]][index * count : (index + 1) * count])
            for index, variant in enumerate(planted)
            if found and variant[0] in found[0]
        }

    def draws(self, share: float) -> Iterable[tuple[NDArray[np.intp], NDArray[np.bool_]]]:
        """Yield which defective versions are in, and which good photos stay."""
        count = max(1, round(share * len(self.paths)))
        for draw in range(min(DRAWS, len(self.damaged) // count)):
            chosen = np.arange(draw * count, (draw + 1) * count)
            stays = np.ones(len(self.paths), bool)
            stays[self.damaged[chosen]] = False
            yield chosen, stays


def rates(flags: Iterable[tuple[NDArray[np.bool_], int]]) -> str:
    """Return recall and precision of flags whose last so many samples are the defective ones."""
    hits, misses, false = 0, 0, 0
    for found, count in flags:
        hits, misses = hits + found[-count:].sum(), misses + (~found[-count:]).sum()
        false += found[:-count].sum()
    return f"{hits / (hits + misses):.3f}/{hits / max(hits + false, 1):.3f}"


def compare(photos: Photos) -> None:
    print(f"recall/precision{'':16}ours at " + "".join(f"{share:<12.0%}" for share in SHARES) + "cleanvision at 6%")
    for variant, bad in photos.bad.items():
        issue = variant[0]
        ours = [
            rates(
                (flag(join([take(photos.good, stays), take(bad, chosen)]))[issue], len(chosen))
                for chosen, stays in photos.draws(share)
            )
            for share in SHARES
        ]
        theirs = "-"
        if variant in photos.theirs_bad and photos.theirs_good:
            good, found = np.array(photos.theirs_good[0][issue]), photos.theirs_bad[variant]
            theirs = rates(
                (np.concatenate([good[stays], found[chosen]]), len(chosen)) for chosen, stays in photos.draws(0.06)
            )
        print(f"{issue + ', ' + variant[1]:40}" + "".join(f"{text:12}" for text in ours) + theirs)


def mix(photos: Photos) -> None:
    """Print recall and precision per rule with every defect in the same dataset; others' defects count as false."""
    variants = list(photos.bad)
    parts = [np.arange(place, len(photos.damaged), len(variants)) for place in range(len(variants))]
    stays = np.ones(len(photos.paths), bool)
    stays[photos.damaged] = False
    found = flag(
        join([take(photos.good, stays), *(take(photos.bad[v], p) for v, p in zip(variants, parts, strict=True))])
    )
    truth = np.repeat(["", *(issue for issue, _ in variants)], [stays.sum(), *map(len, parts)])
    print(f"\nall at once, {np.mean(truth != ''):.0%} defective: recall/precision")
    for issue in RULES:
        hits = found[issue] & (truth == issue)
        recall = f"{hits.sum() / (truth == issue).sum():.3f}" if (truth == issue).any() else "-"
        print(f"  {issue:20}{recall}/{hits.sum() / max(found[issue].sum(), 1):.3f}  {found[issue].sum()} flagged")


def report(name: str, columns: Table) -> None:
    """Print the share of images that each rule flags where nothing was planted."""
    found = flag(columns)
    count = len(columns["width"])
    shares = {issue: flags.mean() for issue, flags in found.items() if flags.any()}
    text = ", ".join(f"{issue} {share:.2%}" for issue, share in shares.items()) or "nothing"
    print(f"{name}, {count} images: {text}; together {np.logical_or.reduce(list(found.values())).mean():.2%}")


def ordinary() -> None:
    report("cifar10", table(file_row(path.read_bytes()) for path in sorted((SHARED / "cifar10").rglob("*.jpg"))[::2]))
    with gzip.open(SHARED / "mnist" / "t10k-images-idx3-ubyte.gz") as file:
        digits = np.frombuffer(file.read()[16:], np.uint8).reshape(-1, 28, 28)[::2]
    report("digits", table(row(np.repeat(digit[..., None], 3, axis=2), (28, 28), 300) for digit in digits))

    for name in ("bccd", "kangaroo", "home85"):
        report(name, table(map(file_row, whole(sorted((SHARED / "det" / "images" / name).glob("*.jpg"))))))
    report("documents", table(file_row(document(seed)) for seed in range(100)))
    for kind, make in KINDS.items():
        report(kind, table(decoded([make(np.random.default_rng(seed)) for seed in range(OF_A_KIND)])))


def whole(paths: Sequence[Path]) -> Iterator[bytes]:
    """Yield the files that can be decoded to their end."""
    for path in paths:
        with contextlib.suppress(OSError), Image.open(path) as image:
            image.load()
            yield path.read_bytes()


def decoded(files: Sequence[bytes]) -> list[dict[str, float]]:
    """Return what the store would hold of files, deep ones among them, as the decode pass reads them."""
    jobs = [DecodeJob(str(place), lambda data=data: data) for place, data in enumerate(files)]
    with Decoder(threads=1, measure=statistics) as decoder:
        found = list(decoder.decode(jobs))
    facts = {"orientation": 1, "animated": 0, "extension_matches": 1}
    return [
        {**row.statistics, **facts, "width": row.width, "height": row.height, "bytes": len(files[int(row.key)])}
        for row in found
    ]


def document(seed: int) -> bytes:
    """Return a page of lines of words, as PNG."""
    chance = np.random.default_rng(seed)
    page = Image.new("L", (850, 1100), 255)
    draw, top = ImageDraw.Draw(page), 80
    while top < 1000:
        left = 80
        while left < chance.integers(500, 770):
            width = int(chance.integers(10, 60))
            draw.rectangle((left, top, left + width, top + 10), fill=20)
            left += width + 8
        top += int(chance.integers(18, 40))
    data = io.BytesIO()
    page.save(data, "PNG")
    return data.getvalue()


def goods(paths: Sequence[Path]) -> None:
    """Print what is flagged of good photos whose middle stands on white."""
    images = (Image.open(path).convert("RGB") for path in paths)
    shown = (on_white(image, np.random.default_rng(seed)) for seed, image in enumerate(images))
    report("the same on white", table(file_row(encode(image, 90)) for image in shown))


def main() -> None:
    if not SHARED.is_dir():
        raise SystemExit(f"real test data not found at {SHARED} (set BRAIN_TEST_DATA to its folder)")
    source = Path(sys.argv[1]) if sys.argv[1:] else SHARED / "clothing"
    paths = sorted(path for path in source.rglob("*") if path.suffix.lower() in SUFFIXES and path.name not in NATURAL)
    with tempfile.TemporaryDirectory() as folder:
        photos = Photos(paths, Path(folder))
    compare(photos)
    mix(photos)
    print("\nnothing planted, share flagged")
    report(source.name, photos.good)
    goods(paths)
    if photos.theirs_good:
        flags, seconds = photos.theirs_good
        shares = ", ".join(f"{issue} {np.mean(found):.2%}" for issue, found in flags.items() if any(found))
        print(f"cleanvision, the same images: {shares or 'nothing'}")
        ratio = photos.seconds * len(paths) / seconds
        print(f"CPU per image, with decoding: {1e3 * photos.seconds:.1f} ms, {ratio:.2f} of cleanvision's")
    ordinary()


if __name__ == "__main__":
    main()
