"""Make two small sets of photographs with faults in them, of the two photos that come with scikit-learn (CC BY 2.0).

python photos.py classes FOLDER     train and test, a folder for each class
python photos.py boxes FOLDER       images with boxes in labels.json, and what a detector found in detector.json
"""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images

SIDE = 80


def tiles() -> dict[str, list[Image.Image]]:
    """Return forty parts of either photo that do not overlap."""
    found = {}
    for label, pixels in zip(("temple", "flower"), load_sample_images().images, strict=True):
        photo, places = Image.fromarray(pixels), [(x, y) for y in range(0, 400, SIDE) for x in range(0, 640, SIDE)]
        found[label] = [photo.crop((x, y, x + SIDE, y + SIDE)) for x, y in places]
    return found


def classes(folder: Path) -> None:
    """Write eighty images; four of the test set are copies, two are in the wrong folder, and one is cut short."""
    for label, pictures in tiles().items():
        for number, picture in enumerate(pictures):
            path = folder / ("test" if number % 5 == 4 else "train") / label / f"{label}-{number:02}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            picture.save(path, quality=95)
    for number in (10, 11):
        for label in ("temple", "flower"):
            with Image.open(folder / "train" / label / f"{label}-{number}.jpg") as picture:
                picture.save(folder / "test" / label / f"copy-of-{number}.jpg", quality=70)
    for number in (15, 21):
        shutil.move(folder / "train" / "flower" / f"flower-{number}.jpg", folder / "train" / "temple")
    cut = folder / "train" / "temple" / "temple-00.jpg"
    cut.write_bytes(cut.read_bytes()[:600])


def boxes(folder: Path) -> None:
    """Write thirty images with two objects each; of the labels one lacks, one is of the wrong class and one is misplaced."""
    random, given = np.random.default_rng(0), tiles()
    (folder / "images").mkdir(parents=True, exist_ok=True)
    images, labels, found = [], [], []
    for number in range(30):
        image = Image.new("RGB", (200, 160), tuple(random.integers(90, 130, 3).tolist()))
        images.append({"id": number, "file_name": f"{number:02}.png", "width": 200, "height": 160})
        for place in (0, 1):
            label = int(random.integers(1, 3))
            x, y, side = 10 + 100 * place + int(random.integers(0, 20)), int(random.integers(5, 80)), 60
            picture = given[("temple", "flower")[label - 1]][(number * 2 + place) % 40].resize((side, side))
            image.paste(picture, (x, y))
            labels.append({"image_id": number, "category_id": label, "bbox": [x, y, side, side]})
            moved = (np.array([x, y, side, side]) + random.normal(0, 1, 4)).round(1).tolist()
            score = round(float(random.uniform(0.8, 0.99)), 3)
            found.append({"image_id": number, "category_id": label, "bbox": moved, "score": score})
        image.save(folder / "images" / f"{number:02}.png")
    labels[7]["category_id"] = 3 - labels[7]["category_id"]
    labels[20]["bbox"] = [labels[20]["bbox"][0] + 28, labels[20]["bbox"][1] + 24, 60, 60]
    del labels[33]
    categories = [{"id": 1, "name": "temple"}, {"id": 2, "name": "flower"}]
    annotations = [{"id": number, "iscrowd": 0} | label for number, label in enumerate(labels, 1)]
    coco = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "labels.json").write_text(json.dumps(coco), "utf-8")
    (folder / "detector.json").write_text(json.dumps(found), "utf-8")


if __name__ == "__main__":
    {"classes": classes, "boxes": boxes}[sys.argv[1]](Path(sys.argv[2]))
