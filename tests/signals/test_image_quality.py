"""Planted defects are told by their cause, by thresholds that can be seen and set, at the cost of the change."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

from brain_assets.ingest import decode_pass
from brain_assets.methods.images.image_quality import STATISTICS
from brain_assets.methods.images.quality_rules import RULES
from brain_assets.resources.errors import ConfigurationError
from brain_assets.resources.settings.configuration import QualityThresholds
from brain_assets.signals.images.image_quality import IMAGE_QUALITY
from tests.workshop import Workshop, assert_equals_rebuild, encoded, give_calibrations

ASSETS = ("samples", "media", "image_quality", "issues", "published")
FLAGGED = (
    "select filepath, issue from issues join samples using (sample_id) where source = 'image_quality' order by all"
)


def scene(seed: int, size: tuple[int, int] = (240, 180)) -> Image.Image:
    """Return discs of any colour before a soft background."""
    chance = np.random.default_rng(seed)
    background = Image.fromarray(chance.integers(40, 216, (3, 4, 3), dtype=np.uint8))
    image = background.resize(size, Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(image)
    for _ in range(14):
        x, y = chance.integers(0, size[0]), chance.integers(0, size[1])
        width, height = chance.integers(10, 60, 2)
        color = tuple(int(value) for value in chance.integers(0, 256, 3))
        draw.ellipse((x, y, x + width, y + height), fill=color)
    return image


def write_scenes(media: Path, count: int = 12, start: int = 0) -> None:
    media.mkdir(parents=True, exist_ok=True)
    for seed in range(start, count):
        (media / f"{seed:02}.png").write_bytes(encoded(scene(seed)))


def from_levels(levels: np.ndarray) -> Image.Image:
    return Image.fromarray(levels.clip(0, 255).astype(np.uint8))


def half_gray(image: Image.Image) -> Image.Image:
    """Fill the lower part, as decoders do of what did not arrive."""
    image.paste((128, 128, 128), (0, 110, *image.size))
    return image


def page() -> Image.Image:
    """Return a sign on an even ground, as where no image is available."""
    image = Image.new("RGB", (240, 180), (230, 230, 230))
    ImageDraw.Draw(image).rectangle((90, 60, 150, 110), (160, 160, 160), (120, 120, 120), 6)
    return image


def plant(media: Path) -> None:
    """Write one image of each defect."""
    noise = np.random.default_rng(0).normal(0, 25, (180, 240, 3))
    upright = Image.Exif()
    upright[0x112] = 6
    planted = {
        "dark": ImageEnhance.Brightness(scene(40)).enhance(0.15),
        "bright": from_levels(255 - (255 - np.asarray(scene(41), float)) * 0.15),
        "blurry": scene(42).filter(ImageFilter.GaussianBlur(4)),
        "low_information": Image.new("RGB", (240, 180), (90, 120, 40)),
        "grayscale": scene(43).convert("L").convert("RGB"),
        "noisy": from_levels(np.asarray(scene(45), float) + noise),
        "odd_aspect_ratio": scene(46, (240, 40)),
        "odd_size": scene(48, (1800, 1350)),
        "partly_blank": half_gray(scene(52)),
        "placeholder": page(),
        "tiny": scene(47).resize((60, 45)).resize((10, 8)),
    }
    for name, image in planted.items():
        (media / f"{name}.png").write_bytes(encoded(image))
    (media / "type_mismatch.jpg").write_bytes(encoded(scene(44)))
    scene(49).save(media / "animated.gif", save_all=True, append_images=[scene(50)])
    scene(51).save(media / "rotated.jpg", exif=upright)


def workshop_of(root: Path, **settings: object) -> Workshop:
    return Workshop(root / "home", root / "media", **settings)


def thresholds(**given: float | bool) -> dict[str, object]:
    return {"image_quality": {"thresholds": given}}


def test_every_planted_defect_is_told_by_its_cause(tmp_path: Path) -> None:
    write_scenes(tmp_path / "media", 30)
    plant(tmp_path / "media")
    workshop = workshop_of(tmp_path, calibration={"min_samples": 10})
    workshop.run(ASSETS)
    found = [(Path(name).stem, issue) for name, issue in workshop.rows(FLAGGED)]
    assert sorted(found) == sorted([*((issue, issue) for issue in RULES), ("tiny", "odd_size")])
    assert workshop.wrong() == {}


def test_evidence_says_what_was_compared_with_what(tmp_path: Path) -> None:
    write_scenes(tmp_path / "media", 1)
    (tmp_path / "media" / "dark.png").write_bytes(encoded(Image.new("RGB", (200, 200), (20, 20, 20))))
    workshop = workshop_of(tmp_path)
    workshop.run(ASSETS)
    [(text, score)] = workshop.rows("select evidence, score from issues where issue = 'low_information'")
    evidence = json.loads(text)
    assert evidence["statistic"] == "contrast"
    assert evidence["meaning"] == RULES["low_information"].meaning
    assert evidence["value"] < evidence["threshold"] == RULES["low_information"].default
    assert evidence["origin"] == "default"
    assert score > 0.5


def test_every_statistic_is_published_with_a_description(tmp_path: Path) -> None:
    write_scenes(tmp_path / "media", 3)
    (tmp_path / "media" / "broken.png").write_bytes(b"<html>")
    (tmp_path / "media" / "copy.png").write_bytes(encoded(scene(0)))
    workshop = workshop_of(tmp_path)
    workshop.run(ASSETS)
    columns = [row[0] for row in workshop.rows("describe image_quality")]
    [publication] = IMAGE_QUALITY.publishes
    assert columns == list(publication.columns)
    assert set(STATISTICS) < set(columns)
    query = (
        "select width, height, aspect_ratio, megapixels, bits_per_pixel * width * height = 8 * bytes from image_quality"
    )
    assert workshop.rows(query) == [(240, 180, 240 / 180, 0.0432, True)] * 4
    assert workshop.rows("select count(jpeg_quality), count(entropy) from image_quality") == [(0, 4)]


def test_only_what_changed_is_judged(tmp_path: Path) -> None:
    write_scenes(tmp_path / "media")
    workshop = workshop_of(tmp_path)
    assert workshop.run(ASSETS)["image_quality"].notes["judged"] == 12
    assert workshop.run(ASSETS)["image_quality"].up_to_date
    (tmp_path / "media" / "dark.png").write_bytes(encoded(ImageEnhance.Brightness(scene(40)).enhance(0.15)))
    reports = workshop.run(ASSETS)
    assert (reports["media"].notes["decoded"], reports["image_quality"].notes["judged"]) == (1, 1)
    assert workshop.rows(FLAGGED) == [("dark.png", "dark")]
    (tmp_path / "media" / "dark.png").unlink()
    assert workshop.run(ASSETS)["image_quality"].notes["judged"] == 0
    assert workshop.rows(FLAGGED) == []
    assert workshop.wrong() == {}


def test_a_new_name_is_judged_without_decoding(tmp_path: Path) -> None:
    write_scenes(tmp_path / "media", 3)
    workshop = workshop_of(tmp_path)
    workshop.run(ASSETS)
    (tmp_path / "media" / "00.png").rename(tmp_path / "media" / "00.jpeg")
    reports = workshop.run(ASSETS)
    assert (reports["media"].notes["decoded"], reports["image_quality"].notes["judged"]) == (0, 1)
    assert workshop.rows(FLAGGED) == [("00.jpeg", "type_mismatch")]


def test_a_threshold_set_by_hand_is_seen_and_judges_anew_without_decoding(tmp_path: Path) -> None:
    write_scenes(tmp_path / "media")
    media = str(tmp_path / "media")
    (tmp_path / "media" / "wrong.jpg").write_bytes(encoded(scene(44)))
    workshop = workshop_of(tmp_path)
    workshop.run(ASSETS)
    assert workshop.rows(FLAGGED) == [("wrong.jpg", "type_mismatch")]
    workshop.declare(media=media, **thresholds(dark=0.99, type_mismatch=False))
    reports = workshop.run(ASSETS)
    assert reports["image_quality"].notes["judged"] == 13
    assert reports["media"].up_to_date
    brightest = "select count(*) from image_quality where brightness_99 <= 0.99"
    [(flagged,)] = workshop.rows("select count(*) from issues where issue = 'dark' and is_issue")
    assert [(flagged,)] == workshop.rows(brightest)
    assert flagged > 0
    assert workshop.rows("select distinct evidence->>'origin' from issues where issue = 'dark'") == [("settings",)]
    assert workshop.rows("select value, evidence->>'origin' from calibrations where issue = 'dark'") == [
        (0.99, "settings")
    ]
    assert workshop.rows("select count(*) from issues where issue = 'type_mismatch'") == [(0,)]
    workshop.declare(media=media)
    workshop.run(ASSETS)
    assert workshop.rows(FLAGGED) == [("wrong.jpg", "type_mismatch")]


def test_thresholds_are_fitted_once_and_again_when_no_longer_set_by_hand(tmp_path: Path) -> None:
    write_scenes(tmp_path / "media", 12)
    settings = {"media": str(tmp_path / "media"), "calibration": {"min_samples": 10}}
    workshop = workshop_of(tmp_path, calibration={"min_samples": 10})
    workshop.run(ASSETS)
    stands = "select value, (evidence->>'samples')::int, evidence->>'origin' from calibrations where issue = 'odd_size'"
    assert workshop.rows(stands) == [(3.0, 12, "fitted")]
    assert workshop.rows("select count(*) from calibrations where brain_key = 'image_quality'") == [(len(RULES) + 1,)]
    write_scenes(tmp_path / "media", 14, start=12)
    assert workshop.run(ASSETS)["image_quality"].notes["judged"] == 2
    assert workshop.rows(stands) == [(3.0, 12, "fitted")]
    workshop.declare(**settings, **thresholds(odd_size=2))
    workshop.run(ASSETS)
    assert workshop.rows(stands) == [(2.0, 0, "settings")]
    workshop.declare(**settings)
    workshop.run(ASSETS)
    assert workshop.rows(stands) == [(3.0, 14, "fitted")]


def test_gray_images_are_odd_only_among_colour(tmp_path: Path) -> None:
    (tmp_path / "media").mkdir()
    for seed in range(12):
        (tmp_path / "media" / f"{seed}.png").write_bytes(encoded(scene(seed).convert("L")))
    workshop = workshop_of(tmp_path, calibration={"min_samples": 10})
    workshop.run(ASSETS)
    assert workshop.rows(FLAGGED) == []


def test_any_order_of_arrival_equals_a_rebuild(tmp_path: Path) -> None:
    write_scenes(tmp_path / "media", 12)
    workshop = workshop_of(tmp_path, calibration={"min_samples": 10})
    workshop.run(ASSETS)
    plant(tmp_path / "media")
    (tmp_path / "media" / "03.png").unlink()
    (tmp_path / "media" / "05.png").write_bytes((tmp_path / "media" / "dark.png").read_bytes())
    (tmp_path / "media" / "blurry.png").write_bytes(b"")
    workshop.run(ASSETS)
    rebuild = Workshop(tmp_path / "rebuild", tmp_path / "media", calibration={"min_samples": 10})
    give_calibrations(workshop, rebuild)
    rebuild.run(ASSETS)
    assert_equals_rebuild(workshop, rebuild)
    assert ("05.png", "dark") in workshop.rows(FLAGGED)


def test_another_version_of_the_statistics_measures_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_scenes(tmp_path / "media", 4)
    workshop = workshop_of(tmp_path)
    workshop.run(ASSETS)
    monkeypatch.setattr(decode_pass, "STATISTICS_VERSION", "another")
    monkeypatch.setattr(decode_pass, "statistics", lambda *_: dict.fromkeys(STATISTICS, 0.125))
    reports = workshop.run(ASSETS)
    assert reports["media"].notes["decoded"] == 4
    assert workshop.rows("select distinct entropy, brightness from image_quality") == [(0.125, 0.125)]


def test_an_unknown_rule_and_a_wrong_threshold_are_told(tmp_path: Path) -> None:
    write_scenes(tmp_path / "media", 1)
    for wrong, told in ({"drak": 0.3}, "dark"), ({"dark": -1}, "dark"), ({"rotated": 3}, "rotated"):
        with pytest.raises(ConfigurationError, match=told):
            workshop_of(tmp_path, **thresholds(**wrong)).run(ASSETS)


def test_every_rule_can_be_set_by_hand() -> None:
    assert set(QualityThresholds.model_fields) == set(RULES)
    assert all(field.description for field in QualityThresholds.model_fields.values())
