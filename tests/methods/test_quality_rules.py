"""Rules: what each calls an issue, what it leaves to another cause, and when a dataset moves a threshold."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from brain_assets.methods.images.image_quality import statistics
from brain_assets.methods.images.quality_measures import COLUMNS
from brain_assets.methods.images.quality_rules import MIN_SAMPLES, RULES, Threshold, Verdict, calibrate, defaults, judge
from tests.methods.test_image_quality import noisy, scene

FACTS = {"orientation": 1, "animated": False, "extension_matches": True}
ON_GROUND = ("subject_brightness", "subject_brightness_5", "subject_clipped_share", "subject_entropy")
FACT_RULES = ("rotated", "animated", "type_mismatch")


def columns(images: list[np.ndarray], **facts: object) -> dict[str, np.ndarray]:
    """Return what the store holds of images, with facts that are given for all of them."""
    rows = []
    for rgb in images:
        size = {"width": rgb.shape[1], "height": rgb.shape[0]}
        rows.append(statistics(rgb, size | {"bytes": 1000, "quantization": None}) | size | FACTS | facts)
    return {name: np.array([row[name] for row in rows], dtype=float) for name in rows[0]}


def usual(count: int = 200, **changed: object) -> dict[str, np.ndarray]:
    """Return statistics of ordinary photos, a little different from each other."""
    generator = np.random.default_rng(0)
    values = {
        "brightness": 0.5,
        "brightness_5": 0.15,
        "brightness_99": 0.85,
        "white_share": 0.01,
        "clipped_share": 0.02,
        "structure": 0.2,
        "edge_width": 0.8,
        "noise": 0.3,
        "chroma_noise": 0.1,
        "noise_texture": 1.6,
        "channel_difference_99": 60.0,
    }
    rows = {name: value * generator.uniform(0.9, 1.1, count) for name, value in values.items()}
    facts = {"width": 400, "height": 300, "orientation": 1, "animated": 0, "extension_matches": 1}
    facts |= {"blank_share": 0, "ground_share": 0} | dict.fromkeys(ON_GROUND, np.nan)
    rows |= {name: np.full(count, float(value)) for name, value in facts.items()}
    for name, value in changed.items():
        rows[name] = np.broadcast_to(np.asarray(value, float), count).copy()
    return rows


def flagged(rows: dict[str, np.ndarray], thresholds: dict[str, Threshold] | None = None) -> list[set[str]]:
    """Return for each sample the issues it has."""
    verdicts = judge(rows, thresholds or defaults())
    return [
        {issue for issue, verdict in verdicts.items() if verdict.is_issue[row]} for row in range(len(rows["width"]))
    ]


def planted() -> dict[str, np.ndarray]:
    """Return one image per cause."""
    rgb, levels = scene(), scene().astype(float)
    return {
        "": rgb,
        "dark": (0.15 * levels).astype(np.uint8),
        "bright": np.clip(4 * levels, 0, 255).astype(np.uint8),
        "blurry": np.asarray(Image.fromarray(rgb).filter(ImageFilter.GaussianBlur(2.3))),
        "noisy": noisy(rgb, 20),
        "grayscale": np.repeat(rgb[..., :1], 3, axis=2),
        "low_information": noisy(np.full_like(rgb, 140) + np.array([0, 20, 40], np.uint8), 1),
        "odd_aspect_ratio": rgb[:60],
        "partly_blank": np.where(np.arange(len(rgb))[:, None, None] < 0.6 * len(rgb), rgb, np.uint8(128)),
        "placeholder": page(),
    }


def page() -> np.ndarray:
    """Return a sign on an even ground, as where no image is available."""
    rgb = np.full((180, 240, 3), 230, np.uint8)
    rgb[60:110, 90:150], rgb[70:100, 100:140] = 120, 160
    return rgb


def on_white() -> np.ndarray:
    """Return a well exposed scene in the middle of white."""
    rgb = np.full((240, 320, 3), 255, np.uint8)
    rgb[60:180, 80:240] = scene()[:120, :160]
    return rgb


def test_what_stands_on_white_is_judged_and_not_the_ground() -> None:
    burnt = np.clip(4 * on_white().astype(float), 0, 255).astype(np.uint8)
    assert flagged(columns([on_white(), burnt])) == [set(), {"bright"}]


def test_pages_are_placeholders_unless_the_dataset_shows_pages() -> None:
    rows = usual(200)
    rows["ground_share"][:3], rows["subject_entropy"][:3], rows["subject_brightness"][:3] = 0.9, 3.0, 0.5
    assert [number for number, found in enumerate(flagged(rows, calibrate(rows))) if found] == [0, 1, 2]
    digits = usual(200, ground_share=0.85, subject_entropy=np.linspace(1.5, 5.5, 200), subject_brightness=0.5)
    assert not any(flagged(digits, calibrate(digits)))


def test_each_cause_gets_its_own_name_and_no_other() -> None:
    causes = planted()
    for (cause, rgb), found in zip(causes.items(), flagged(columns(list(causes.values()))), strict=True):
        assert found == {cause} - {""}, cause
        assert rgb.dtype == np.uint8


def test_black_and_white_frames_are_empty_and_badly_exposed() -> None:
    black, white = np.zeros((192, 256, 3), np.uint8), np.full((192, 256, 3), 255, np.uint8)
    assert flagged(columns([black, white])) == [{"dark", "low_information"}, {"bright", "low_information"}]


def test_an_even_colour_says_nothing_about_exposure_or_colour() -> None:
    images = [np.full((192, 256, 3), level, np.uint8) for level in (30, 128, 240)]
    assert flagged(columns(images)) == [{"low_information"}] * 3


def test_a_fine_texture_of_one_colour_is_no_noise_and_colours_count_twice_at_most() -> None:
    rows = usual(4, noise=[2.6, 1.4, 1.0, 4.0], chroma_noise=[0.05, 0.5, 9.0, 4.0], noise_texture=[0.9, 0.9, 0.9, 1.4])
    verdict = judge(rows, defaults())["noisy"]
    assert verdict.measure == pytest.approx([2.8, 3.4, 3.0, 0.0])
    assert verdict.is_issue.tolist() == [False, True, False, False]


def test_a_blurred_dark_image_is_both() -> None:
    rgb = (0.2 * planted()["blurry"]).astype(np.uint8)
    assert flagged(columns([rgb])) == [{"dark", "blurry"}]


@pytest.mark.parametrize(
    ("facts", "issues"),
    [
        ({"orientation": 6}, {"rotated"}),
        ({"orientation": None}, set()),
        ({"animated": True}, {"animated"}),
        ({"extension_matches": False}, {"type_mismatch"}),
        ({"extension_matches": None}, set()),
    ],
)
def test_facts_are_issues_by_themselves(facts: dict[str, object], issues: set[str]) -> None:
    rows = columns([scene()], **facts)
    assert flagged(rows) == [issues]
    scores = judge(rows, defaults())
    assert [scores[issue].score[0] for issue in FACT_RULES] == [float(issue in issues) for issue in FACT_RULES]


def test_verdicts_are_scores_that_agree_with_the_flags() -> None:
    images = list(planted().values())
    for issue, verdict in judge(columns(images), calibrate(columns(images * 20))).items():
        assert ((verdict.score >= 0) & (verdict.score <= 1)).all(), issue
        assert ((verdict.score >= 0.5) == verdict.is_issue).all(), issue
        assert (verdict.score[np.isnan(verdict.measure)] == 0).all(), issue


@given(st.lists(st.floats(0, 1), min_size=2, max_size=20), st.floats(0.05, 0.95))
def test_a_worse_measure_never_scores_less(brightest: list[float], threshold: float) -> None:
    rows = usual(len(brightest), brightness_99=brightest)
    verdict = judge(rows, {"dark": Threshold(threshold)})["dark"]
    order = np.argsort(brightest)
    assert (np.diff(verdict.score[order]) <= 0).all()
    assert (verdict.is_issue == (np.array(brightest) <= threshold)).all()


@given(st.floats(1e-3, 1e6))
def test_the_threshold_itself_scores_one_half(value: float) -> None:
    rows = usual(2, edge_width=value)
    verdict = judge(rows, {"blurry": Threshold(value)})["blurry"]
    assert verdict.score.tolist() == [0.5, 0.5]
    assert verdict.is_issue.all()


def test_extreme_measures_give_scores_not_warnings() -> None:
    rows = usual(3, brightness_99=[0, 1e-300, 1], edge_width=[0, 1e300, np.nan], structure=[0.2, 0.2, 0.2])
    verdicts = judge(rows, defaults())
    assert verdicts["dark"].score.tolist()[:2] == [1, 1]
    assert verdicts["blurry"].score.tolist() == [0, 1, 0]


def test_thresholds_can_be_given_and_rules_left_out() -> None:
    rows = usual(3)
    assert list(judge(rows, {"dark": Threshold(0.9)})) == ["dark"]
    assert judge(rows, {"dark": Threshold(0.99)})["dark"].is_issue.all()
    off = judge(rows, {"dark": Threshold(np.nan)})["dark"]
    assert not off.is_issue.any()
    assert not off.score.any()
    with pytest.raises(KeyError, match="blurred"):
        judge(rows, {"blurred": Threshold(1)})


def test_a_row_depends_on_nothing_but_itself() -> None:
    rows, thresholds = columns(list(planted().values())), calibrate(usual())
    together = judge(rows, thresholds)
    for place in range(len(rows["width"])):
        alone = judge({name: column[place : place + 1] for name, column in rows.items()}, thresholds)
        for issue, verdict in together.items():
            np.testing.assert_array_equal([part[place] for part in verdict], [part[0] for part in alone[issue]])


def test_an_ordinary_dataset_keeps_the_defaults() -> None:
    thresholds = calibrate(usual())
    for issue in ("dark", "bright", "blurry", "low_information", "noisy", "grayscale", "odd_aspect_ratio"):
        assert thresholds[issue].value == RULES[issue].default
        assert thresholds[issue].evidence["basis"] == "default"
        assert thresholds[issue].evidence["samples"] == 200
    assert not set().union(*flagged(usual(), thresholds))


@pytest.mark.parametrize("share", [0.01, 0.06, 0.3, 0.5])
@pytest.mark.parametrize(
    ("column", "value", "issue"),
    [
        ("brightness_99", 0.3, "dark"),
        ("brightness", 1.2, "bright"),
        ("edge_width", 2.2, "blurry"),
        ("structure", 0.001, "low_information"),
        ("channel_difference_99", 0, "grayscale"),
        ("width", 1200, "odd_aspect_ratio"),
    ],
)
def test_defects_move_no_threshold_up_to_half_of_the_dataset(
    column: str, value: float, issue: str, share: float
) -> None:
    rows = usual()
    bad = round(share * 200) - (share == 0.5)
    rows[column][:bad] = value
    found = judge(rows, calibrate(rows))[issue].is_issue
    assert found.tolist() == [True] * bad + [False] * (200 - bad)


def test_what_is_usual_in_a_dataset_is_no_issue_there() -> None:
    rows = usual(brightness_99=np.random.default_rng(0).normal(0.3, 0.02, 200))
    rows["brightness_99"][:2] = 0.1
    thresholds = calibrate(rows)
    assert thresholds["dark"].evidence["basis"] == "usual"
    assert thresholds["dark"].evidence["median"] == pytest.approx(0.3, abs=0.01)
    assert judge(rows, thresholds)["dark"].is_issue.tolist() == [True] * 2 + [False] * 198


def test_the_usual_spread_does_not_collapse() -> None:
    rows = usual(width=1200)
    rows["width"][:2] = 1260, 1500
    assert judge(rows, calibrate(rows))["odd_aspect_ratio"].is_issue.tolist() == [False, True] + [False] * 198


@pytest.mark.parametrize("share", [0.01, 0.3])
def test_a_soft_dataset_has_blurred_images_where_they_are_softer_than_its_sharpest(share: float) -> None:
    rows, bad = usual(edge_width=np.random.default_rng(0).normal(1.5, 0.1, 200)), round(share * 200)
    rows["edge_width"][:bad], rows["edge_width"][-1] = 3.0, 2.1
    threshold = calibrate(rows)["blurry"]
    assert threshold.evidence["basis"] == "usual"
    assert threshold.value == pytest.approx(1.7 * threshold.evidence["quartile"])
    assert judge(rows, {"blurry": threshold})["blurry"].is_issue.tolist() == [True] * bad + [False] * (200 - bad)


def test_gray_is_an_issue_in_a_colour_dataset_only() -> None:
    assert not judge(usual(channel_difference_99=0), calibrate(usual(channel_difference_99=0)))[
        "grayscale"
    ].is_issue.any()
    rows = usual()
    rows["channel_difference_99"][:90] = 0
    assert judge(rows, calibrate(rows))["grayscale"].is_issue.sum() == 90


def test_sizes_are_odd_by_a_factor_to_the_median_even_where_nearly_all_are_alike() -> None:
    rows = usual()
    rows["width"][:4], rows["height"][:4] = [440, 200, 100, 1300], [330, 150, 75, 975]
    thresholds = calibrate(rows)
    verdict = judge(rows, thresholds)["odd_size"]
    assert verdict.is_issue.tolist() == [False, False, True, True] + [False] * 196
    assert verdict.measure[:4] == pytest.approx([1.1, 2, 4, 3.25])
    assert (thresholds["odd_size"].value, thresholds["odd_size"].reference) == (3, pytest.approx(np.sqrt(120000)))


def test_sizes_that_vary_by_nature_are_not_odd() -> None:
    sides = np.exp(np.random.default_rng(0).normal(6, 0.6, 500)).round()
    rows = usual(500, width=sides, height=sides)
    assert judge(rows, calibrate(rows))["odd_size"].is_issue.mean() < 0.01


@pytest.mark.parametrize(
    ("side", "small", "tiny"), [(32, 20, False), (32, 8, True), (1000, 200, False), (1000, 60, True)]
)
def test_tiny_is_useless_and_far_below_the_median(side: int, small: int, tiny: bool) -> None:
    rows = usual(width=side, height=side)
    rows["width"][0] = rows["height"][0] = small
    found = judge(rows, calibrate(rows))["tiny"].is_issue
    assert found.tolist() == [tiny] + [False] * 199


@pytest.mark.parametrize("count", [0, 1, MIN_SAMPLES - 1])
def test_few_samples_keep_the_defaults_and_say_so(count: int) -> None:
    rows = usual(count, edge_width=9)
    thresholds = calibrate(rows)
    for issue, threshold in thresholds.items():
        assert threshold.value == pytest.approx(RULES[issue].default, nan_ok=True)
        assert threshold.evidence["basis"] == ("default" if issue in FACT_RULES else "too few")
    verdicts = judge(rows, thresholds)
    assert all(isinstance(verdict, Verdict) and len(verdict.score) == count for verdict in verdicts.values())
    assert not verdicts["odd_size"].is_issue.any()


def test_unjudged_samples_do_not_calibrate() -> None:
    rows = usual(edge_width=np.where(np.arange(200) < MIN_SAMPLES - 1, 2.0, np.nan))
    assert calibrate(rows)["blurry"].evidence == {"basis": "too few", "samples": MIN_SAMPLES - 1}


def test_identical_samples_and_unknown_values_calibrate_without_warnings() -> None:
    rows = {name: np.zeros(200) for name in COLUMNS} | {"width": np.ones(200), "height": np.ones(200)}
    assert calibrate(rows)["odd_size"].value == 3
    unknown = {name: [None] * 200 for name in COLUMNS}
    assert {issue for issue, verdict in judge(unknown, calibrate(unknown)).items() if verdict.is_issue.any()} == set()


def test_a_missing_column_is_named() -> None:
    rows = usual()
    del rows["edge_width"]
    with pytest.raises(KeyError, match="edge_width"):
        calibrate(rows)


def test_columns_lists_what_the_measures_read() -> None:
    class Recorded(dict[str, np.ndarray]):
        def __getitem__(self, name: str) -> np.ndarray:
            read.add(name)
            return super().__getitem__(name)

    read: set[str] = set()
    calibrate(Recorded(usual()))
    assert read == set(COLUMNS)
