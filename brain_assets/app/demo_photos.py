"""The photographic demo: scenes put together from photos that come with packages, with boxes, a detector's view, and defects.

The detector is simulated: it misses some objects, sees some that are none, and its boxes and classes are off now and then.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from brain_assets.app.demo_planting import Planted, without_images
from brain_assets.ingest.samples import UNREADABLE_FILE
from brain_assets.resources.errors import MissingError
from brain_assets.resources.label_formats.coco import category_entries, image_entry
from brain_assets.resources.settings.home import put_in_place
from brain_assets.signals.duplicates.leaks import LEAK
from brain_assets.signals.images.image_quality import BLURRY, DARK
from brain_assets.signals.labels.label_issues import LABEL_MISTAKE
from brain_assets.signals.labels.object_mistakenness import BAD_BOX, MISSING_OBJECT
from brain_assets.signals.similarity.outliers import OUTLIER

Pixels = NDArray[np.uint8]
Box = tuple[float, float, float, float]

CLASSES = ("person", "cat", "cup", "flower", "coin", "temple")
WIDTH, HEIGHT = 400, 300
FIRST, ALL = 400, 460
# How many of the scenes that are dropped in have which defect, the issue that should tell it, and words.
DEFECTS = {
    "wrong": (5, LABEL_MISTAKE.name, "have an object with another's class"),
    "missing": (5, MISSING_OBJECT.name, "lack the box of an object"),
    "shifted": (5, BAD_BOX.name, "have a box beside its object"),
    "broken": (2, UNREADABLE_FILE.name, "are cut short"),
    "dim": (2, DARK.name, "are dark"),
    "soft": (2, BLURRY.name, "are out of focus"),
}
# Training images that are among the test images as well: saved anew, cut a little, and lighter.
COPIES = 4
# Every so manieth image is of the split test.
TEST_EVERY = 5
# What the detector finds of objects, and how often it takes one for another class or sees one where none is.
FINDS, CONFUSES, IMAGINES = 0.94, 0.03, 0.06
# Where packages have their photos.
PACKAGES = {"skimage": "data", "sklearn": "datasets/images", "matplotlib": "mpl-data/sample_data"}
# Backgrounds that are ground alone, or what is far alone.
NEAR, FAR = 0, 1
# Half the side of the parts that ground is strewn with.
GRAIN = 48
# Shown by so much more, an image is cut and made lighter as a copy.
CUT, LIGHTER = 6, 1.06

PERSON = ((163, 60), (200, 22), (240, 15), (285, 35), (300, 75), (292, 125), (268, 145), (264, 178), (300, 220), (303, 270),
          (345, 290), (360, 345), (330, 352), (298, 390), (282, 440), (285, 511), (20, 511), (40, 450), (25, 400), (35, 320),
          (60, 270), (115, 230), (120, 180), (150, 152), (182, 148), (168, 110))  # fmt: skip
OFFICER = ((160, 100), (180, 60), (250, 25), (330, 50), (365, 95), (366, 150), (368, 200), (348, 260), (330, 300), (345, 330),
           (420, 360), (490, 390), (510, 440), (510, 599), (10, 599), (30, 440), (50, 385), (130, 350), (190, 330), (200, 290),
           (170, 255), (160, 200), (157, 150))  # fmt: skip
FACE = ((40, 60), (60, 15), (110, 0), (330, 0), (350, 30), (362, 110), (352, 160), (330, 200), (308, 260), (270, 290), (200, 275),
        (140, 240), (90, 205), (50, 160), (35, 110))  # fmt: skip
PAGODA = ((212, 12), (235, 60), (265, 100), (300, 130), (300, 160), (330, 200), (330, 225), (348, 280), (338, 355), (200, 398),
          (110, 358), (75, 325), (95, 280), (80, 215), (110, 170), (120, 130), (165, 100), (190, 55))  # fmt: skip
# Centre and half axes of ellipses.
FLOWER = ((308, 222, 137, 137),)
CUP = ((278, 236, 200, 147), (293, 108, 119, 92))
COINS = (
    (347, 186, 31, 29),
    (334, 43, 29, 27),
    (46, 260, 27, 26),
    (172, 262, 27, 23),
    (301, 264, 24, 23),
    (270, 120, 24, 23),
)
# Coins are small in their photo: enlarged first, their edges stay round.
ENLARGED = 4


@dataclass(frozen=True)
class Object:
    """One labelled object of a scene: its class, and its box (left, top, width, height) in pixels."""

    label: str
    box: Box


@dataclass(frozen=True)
class Scene:
    """A photo that was put together: (300, 400, 3) uint8 in RGB, what is in it, and what it was before the objects came."""

    pixels: Pixels
    objects: Sequence[Object]
    background: Pixels


class PhotosDemo:
    """The demo of photos: what is written first, what is dropped in later, and what is planted there."""

    name = "photos"
    what = "photos, put together from those that come with scikit-image, scikit-learn and matplotlib"
    first = FIRST

    def __init__(self) -> None:
        self._folders = {package: _folder_of(package) for package in PACKAGES}
        # What lies in the scenes that were put together so far.
        self._objects: dict[int, Sequence[Object]] = {}

    def settings(self, folder: Path) -> dict[str, Any]:
        """Return what declares the dataset whose images lie in a folder, beside its media and splits."""
        return {"labels": [str(_labels_beside(folder))], "classes": ",".join(CLASSES)}

    def write_first(self, folder: Path) -> None:
        """Write all scenes but the last few, and their labels."""
        for number in range(FIRST):
            _save(self.scene(number).pixels, folder / name_of(number))
        _write(_labels_beside(folder), self._labels(range(FIRST)))

    def write_predictions(self, predictions: Path) -> str:
        """Write what the detector finds in all scenes into the dataset's folder for predictions; return what to say of it."""
        predictions.mkdir(parents=True, exist_ok=True)
        _write(predictions / "detector.json", self._found(range(ALL)))
        return "a simulated detector has looked at all of them"

    def drop_rest(self, folder: Path) -> Planted:
        """Write the remaining scenes with their defects, and their labels."""
        # Labels go first: a run that looks in between finds labels of images to come rather than images without.
        _write(_labels_beside(folder), self._labels(range(ALL)))
        for number in range(FIRST, ALL):
            _save(self._spoiled(number), folder / name_of(number))
        for number in _late()["broken"]:
            path = folder / name_of(number)
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
        copies = []
        for number in _copied():
            copies.append(f"test/copy-of-{number:04}.jpg")
            cut = self.scene(number).pixels[CUT:-CUT, CUT:-CUT]
            _save(np.clip(cut * LIGHTER, 0, 255).astype(np.uint8), folder / copies[-1])
        odd = f"train/{ALL:04}.jpg"
        _save(self._sky_at_night(), folder / odd)
        return [*_planted(), (LEAK.name, "are copies of training images among the test images", copies),
                (OUTLIER.name, "shows what no other shows", [odd])]  # fmt: skip

    def total(self) -> int:
        """Return how many images there are in the end."""
        return ALL + COPIES + 1

    def scene(self, number: int) -> Scene:
        """Return a scene, which depends on its number alone."""
        random = np.random.default_rng((11, number))
        background = self._background(random)
        pixels, objects = background, list[Object]()
        for _ in range(random.integers(1, 4)):
            label = CLASSES[random.integers(len(CLASSES))]
            cut_out, mask = _turned(*self._cut_outs[label][random.integers(len(self._cut_outs[label]))], random)
            place = _free_place(random, mask.shape, objects)
            if place is not None:
                pixels = _pasted(pixels, cut_out, mask, place)
                objects.append(Object(label, _box_of(mask, place)))
        self._objects[number] = objects
        return Scene(_developed(pixels, random), objects, background)

    def _spoiled(self, number: int) -> Pixels:
        pixels, late = self.scene(number).pixels, _late()
        if number in late["dim"]:
            return (pixels * 0.07).astype(np.uint8)
        return cv2.GaussianBlur(pixels, (0, 0), 7).astype(np.uint8) if number in late["soft"] else pixels

    def _labels(self, numbers: range) -> dict[str, Any]:
        """Return what is labelled in COCO's form, with the faults that are planted."""
        late = _late()
        annotations = []
        for number in numbers:
            objects = list(self._objects_of(number))
            if number in late["missing"]:
                objects.pop()
            if number in late["wrong"]:
                objects[0] = Object(_other(objects[0].label), objects[0].box)
            if number in late["shifted"]:
                left, top, width, height = objects[0].box
                across = width * (0.4 if left + width * 1.4 < WIDTH else -0.4)
                objects[0] = Object(objects[0].label, (max(left + across, 0), top, width, height))
            annotations += [
                {"image_id": number, "category_id": CLASSES.index(one.label), "bbox": one.box} for one in objects
            ]
        return _coco(numbers, annotations)

    def _found(self, numbers: range) -> dict[str, Any]:
        """Return what the simulated detector finds, in COCO's form with scores."""
        annotations = []
        for number in numbers:
            random = np.random.default_rng((12, number))
            for one in self._objects_of(number):
                if random.random() < FINDS:
                    label, score = one.label, random.beta(8, 1.2)
                    if random.random() < CONFUSES:
                        label, score = _other(one.label), random.beta(3, 4)
                    annotations.append(_finding(number, label, _jittered(one.box, random), score))
            if random.random() < IMAGINES:
                box = (random.uniform(0, WIDTH - 90), random.uniform(0, HEIGHT - 90), *random.uniform(40, 90, 2))
                annotations.append(
                    _finding(number, CLASSES[random.integers(len(CLASSES))], box, random.uniform(0.1, 0.5))
                )
        return _coco(numbers, annotations)

    def _photo(self, package: str, name: str) -> Pixels:
        """Return a photo that a package brings, (h, w, 3) in RGB."""
        pixels = cv2.imread(str(self._folders[package] / name), cv2.IMREAD_COLOR)
        if pixels is None:
            raise MissingError(f"{package} comes without {name}: pip install -U 'brain-assets[demo]'")
        return np.ascontiguousarray(pixels[:, :, ::-1].astype(np.uint8))

    def _objects_of(self, number: int) -> Sequence[Object]:
        if number not in self._objects:
            self._objects[number] = self.scene(number).objects
        return self._objects[number]

    @cached_property
    def _cut_outs(self) -> dict[str, list[tuple[Pixels, Pixels]]]:
        """Pictures and masks, by class."""
        coins = _enlarged(_tinted(self._photo("skimage", "coins.png"), (1.0, 0.86, 0.62)), ENLARGED)
        rounds = [[number * ENLARGED for number in coin] for coin in COINS]
        return {
            "person": [
                _cut(self._photo("skimage", "astronaut.png"), PERSON),
                _cut(self._photo("matplotlib", "grace_hopper.jpg"), OFFICER),
            ],
            "cat": [_cut(self._photo("skimage", "chelsea.png"), FACE)],
            "cup": [_cut(self._photo("skimage", "coffee.png"), (), CUP)],
            "flower": [_cut(self._photo("sklearn", "flower.jpg"), (), FLOWER)],
            "coin": [_cut(coins, (), (coin,)) for coin in rounds],
            "temple": [_cut(self._photo("sklearn", "china.jpg"), PAGODA)],
        }

    @cached_property
    def _grounds(self) -> list[Pixels]:
        """What lies around the objects: grass, and gravel."""
        return [
            _tinted(self._photo("skimage", "grass.png"), (0.75, 1.0, 0.5)),
            _tinted(self._photo("skimage", "gravel.png"), (1.0, 0.92, 0.82)),
        ]

    @cached_property
    def _distances(self) -> list[Pixels]:
        """What is behind them, out of focus: a sky, and leaves."""
        leaves, sky = self._photo("sklearn", "flower.jpg")[:, 460:], self._photo("sklearn", "china.jpg")[:100, 390:]
        return [_tinted(_enlarged(sky, 4), (0.86, 0.88, 0.9)), _tinted(_enlarged(leaves, 2), (1.5, 1.4, 1.3))]

    def _background(self, random: np.random.Generator) -> Pixels:
        """Return ground, or what is far, or the one below the other, in some light."""
        kind = random.integers(3)
        pixels: NDArray[Any]
        if kind == NEAR:
            pixels = self._near(random)
        elif kind == FAR:
            pixels = self._far(random)
        else:
            near, far = self._near(random), self._far(random)
            horizon = random.uniform(0.25, 0.6) * HEIGHT
            edge = np.clip((np.arange(HEIGHT) - horizon) / 6 + 0.5, 0, 1)[:, None, None]
            pixels = near * edge + far * (1 - edge)
        return _tinted(pixels, random.uniform(0.8, 1.1) * random.uniform(0.92, 1.08, 3))

    def _near(self, random: np.random.Generator) -> Pixels:
        return _strewn(self._grounds[random.integers(2)], random)

    def _far(self, random: np.random.Generator) -> Pixels:
        return _shown(self._distances[random.integers(2)], random)

    def _sky_at_night(self) -> Pixels:
        return np.ascontiguousarray(self._photo("skimage", "hubble_deep_field.jpg")[:HEIGHT, :WIDTH])


def name_of(number: int) -> str:
    """Return where a scene goes: its split and number."""
    return f"{'test' if number % TEST_EVERY == 0 else 'train'}/{number:04}.jpg"


def _late() -> Mapping[str, range]:
    """Return which of the scenes that are dropped in have which defect."""
    ends = FIRST + np.cumsum([count for count, _, _ in DEFECTS.values()])
    return {
        defect: range(int(end) - count, int(end))
        for end, (defect, (count, _, _)) in zip(ends, DEFECTS.items(), strict=True)
    }


def _copied() -> list[int]:
    return [number for number in range(FIRST) if number % TEST_EVERY][:COPIES]


def _planted() -> Iterator[tuple[str, str, Sequence[str]]]:
    for defect, numbers in _late().items():
        _, issue, words = DEFECTS[defect]
        yield issue, words, [name_of(number) for number in numbers]


def _labels_beside(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}-labels.json")


def _folder_of(package: str) -> Path:
    """Return where a package has its photos; raises MissingError where it is not installed."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise without_images()
    return Path(spec.origin).parent / PACKAGES[package]


def _cut(
    photo: Pixels, outline: Sequence[tuple[int, int]], ellipses: Sequence[Sequence[int]] = ()
) -> tuple[Pixels, Pixels]:
    """Return what lies within an outline or ellipses, and its mask with soft edges, both (h, w, ...)."""
    mask = np.zeros(photo.shape[:2], np.uint8)
    if outline:
        # Rounded: drawn corners are those of the hand that drew them.
        cv2.fillPoly(mask, [np.array(outline, np.int32)], 255)
        mask = ((cv2.GaussianBlur(mask, (0, 0), 5) > 127) * 255).astype(np.uint8)
    for x, y, across, down in ellipses:
        cv2.ellipse(mask, (x, y), (across, down), 0, 0, 360, 255, -1)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    inner = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    return photo[inner], cv2.erode(mask, np.ones((3, 3), np.uint8))[inner].astype(np.uint8)


def _shown(photo: Pixels, random: np.random.Generator) -> Pixels:
    """Return some part of a photo at the size of a scene, mirrored or not."""
    width = min(int(random.uniform(0.6, 1.0) * photo.shape[1]), photo.shape[0] * WIDTH // HEIGHT)
    height = width * HEIGHT // WIDTH
    left, top = random.integers(photo.shape[1] - width + 1), random.integers(photo.shape[0] - height + 1)
    part: Pixels = cv2.resize(photo[top : top + height, left : left + width], (WIDTH, HEIGHT)).astype(np.uint8)
    return part[:, ::-1] if random.random() < 0.5 else part


def _strewn(ground: Pixels, random: np.random.Generator) -> Pixels:
    """Return ground of many small parts of a photo, each turned: two scenes would else show the same stones, and be copies."""
    scale, pixels = random.uniform(0.6, 1.1), np.zeros((HEIGHT, WIDTH, 3))
    side = 2 * GRAIN
    away = np.hypot(*(np.indices((side, side)) - GRAIN + 0.5))
    soft = np.clip((GRAIN - away) / 14, 0, 1)[:, :, None]
    for top in range(-GRAIN, HEIGHT, GRAIN):
        for left in range(-GRAIN, WIDTH, GRAIN):
            centre = random.uniform(110, 400, 2)
            matrix = cv2.getRotationMatrix2D(tuple(centre), random.uniform(0, 360), scale)
            matrix[:, 2] += GRAIN - centre
            part = cv2.warpAffine(ground, matrix, (side, side), borderMode=cv2.BORDER_REFLECT)
            rows, columns = slice(max(top, 0), min(top + side, HEIGHT)), slice(max(left, 0), min(left + side, WIDTH))
            inner = slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left)
            pixels[rows, columns] += (part[inner] - pixels[rows, columns]) * soft[inner]
    return pixels.astype(np.uint8)


def _turned(picture: Pixels, mask: Pixels, random: np.random.Generator) -> tuple[Pixels, Pixels]:
    """Return a cut-out at some size, angle and light, mirrored or not."""
    size = random.uniform(80, 200)
    scale = size / max(mask.shape)
    edge = int(size * 1.25)
    matrix = cv2.getRotationMatrix2D((mask.shape[1] / 2, mask.shape[0] / 2), random.uniform(-14, 14), scale)
    matrix[:, 2] += edge / 2 - np.array([mask.shape[1], mask.shape[0]]) / 2
    # What shrinks is smoothed first, or it flickers.
    sigma = max(0.4 / scale, 0.01)
    smooth = cv2.GaussianBlur(picture, (0, 0), sigma) if scale < 0.8 else picture
    turned = cv2.warpAffine(smooth, matrix, (edge, edge), borderMode=cv2.BORDER_REPLICATE)
    soft = cv2.GaussianBlur(cv2.warpAffine(mask, matrix, (edge, edge)), (0, 0), 0.9)
    if random.random() < 0.5:
        turned, soft = turned[:, ::-1], soft[:, ::-1]
    light = random.uniform(0.8, 1.12) * random.uniform(0.95, 1.05, 3)
    return _tinted(turned, light), soft.astype(np.uint8)


def _free_place(random: np.random.Generator, shape: Sequence[int], objects: Sequence[Object]) -> tuple[int, int] | None:
    """Return (left, top) of a place where no other object is, or None after some tries."""
    height, width = shape[:2]
    for _ in range(20):
        left, top = int(random.integers(WIDTH - width + 1)), int(random.integers(HEIGHT - height + 1))
        apart = (
            left + width < x or x + w < left or top + height < y or y + h < top
            for x, y, w, h in (one.box for one in objects)
        )
        if all(apart):
            return left, top
    return None


def _pasted(pixels: Pixels, cut_out: Pixels, mask: Pixels, place: tuple[int, int]) -> Pixels:
    left, top = place
    inner = (slice(top, top + mask.shape[0]), slice(left, left + mask.shape[1]))
    share = mask[:, :, None] / 255.0
    pixels = pixels.copy()
    pixels[inner] = np.rint(cut_out * share + pixels[inner] * (1 - share)).astype(np.uint8)
    return pixels


def _box_of(mask: Pixels, place: tuple[int, int]) -> Box:
    rows, columns = np.flatnonzero((mask > 127).any(1)), np.flatnonzero((mask > 127).any(0))
    left, top = place[0] + columns[0], place[1] + rows[0]
    return float(left), float(top), float(columns[-1] - columns[0] + 1), float(rows[-1] - rows[0] + 1)


def _developed(pixels: Pixels, random: np.random.Generator) -> Pixels:
    """Return a scene with the grain of a camera."""
    grain = random.normal(0, random.uniform(1, 3), pixels.shape)
    return np.clip(pixels + grain, 0, 255).astype(np.uint8)


def _enlarged(pixels: Pixels, times: int) -> Pixels:
    enlarged: Pixels = cv2.resize(pixels, None, fx=times, fy=times, interpolation=cv2.INTER_CUBIC).astype(np.uint8)
    return enlarged


def _tinted(pixels: NDArray[Any], factors: Sequence[float] | NDArray[np.float64]) -> Pixels:
    tinted: Pixels = np.clip(pixels * np.asarray(factors), 0, 255).astype(np.uint8)
    return tinted


def _jittered(box: Box, random: np.random.Generator) -> Box:
    left, top, width, height = box
    across, down, wider, higher = random.normal(0, 0.03, 4)
    return left + across * width, top + down * height, width * (1 + wider), height * (1 + higher)


def _other(label: str) -> str:
    return CLASSES[(CLASSES.index(label) + 2) % len(CLASSES)]


def _finding(number: int, label: str, box: Sequence[float], score: float) -> dict[str, Any]:
    left, top = max(box[0], 0.0), max(box[1], 0.0)
    inner = (left, top, min(box[2], WIDTH - left), min(box[3], HEIGHT - top))
    rounded = [round(float(value), 1) for value in inner]
    return {"image_id": number, "category_id": CLASSES.index(label), "bbox": rounded, "score": round(float(score), 3)}


def _coco(numbers: range, annotations: Sequence[dict[str, Any]]) -> dict[str, Any]:
    images = [image_entry(number, name_of(number), (WIDTH, HEIGHT)) for number in numbers]
    categories = category_entries({name: place for place, name in enumerate(CLASSES)})
    numbered = [{"id": place, **one} for place, one in enumerate(annotations, 1)]
    return {"images": images, "annotations": numbered, "categories": categories}


def _write(path: Path, content: dict[str, Any]) -> None:
    """Write a file that is whole at any moment."""
    aside = path.with_suffix(".part")
    aside.write_text(json.dumps(content), "utf-8")
    put_in_place(aside, path)


def _save(pixels: Pixels, path: Path) -> None:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, quality=90)
