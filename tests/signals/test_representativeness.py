"""How typical images are, with look-alikes of a more typical one lowered, kept current."""

from pathlib import Path

import numpy as np
import pytest

from tests.workshop import Workshop, assert_equals_rebuild, give_calibrations, write_pictures

ASSETS = ("samples", "media", "embeddings", "similarity", "representativeness", "published")
LOWERED = {"method": "cluster-center-downweight", "clusters": 2}


def make(root: Path, home: str, **settings: object) -> Workshop:
    return Workshop(root / home, root / "media", similarity={"k": 3}, representativeness=LOWERED, **settings)


def test_look_alikes_of_a_more_central_image_are_lowered(tmp_path: Path) -> None:
    write_pictures(tmp_path / "media", range(14))
    plain = {"brain_key": "plain", "method": "representativeness", "parameters": {"method": "cluster-center"}}
    workshop = make(tmp_path, "home", runs=[plain])
    workshop.run(ASSETS)
    scores = dict(workshop.rows("select subject_id, raw from representativeness where brain_key = 'plain'"))
    lowered = dict(
        workshop.rows("select subject_id, raw from representativeness where brain_key = 'representativeness'")
    )
    near: dict[str, list[str]] = {}
    for subject, other in workshop.rows("select subject_id, neighbor_id from neighbors where distance <= 0.125"):
        near.setdefault(subject, []).append(other)
    expected = {
        one: score * (0.7 if any((scores[other], one) > (score, other) for other in near.get(one, [])) else 1)
        for one, score in scores.items()
    }
    assert 0 < sum(lowered[one] < 0.99 * scores[one] for one in scores) < 14
    np.testing.assert_allclose([lowered[one] for one in scores], [expected[one] for one in scores], rtol=1e-6)

    assert workshop.run(ASSETS)["representativeness"].up_to_date
    write_pictures(tmp_path / "media", range(20, 23))
    (tmp_path / "media" / "00002.png").unlink()
    workshop.run(ASSETS)
    rebuild = make(tmp_path, "rebuild", runs=[plain])
    give_calibrations(workshop, rebuild)
    rebuild.run(ASSETS)
    assert_equals_rebuild(workshop, rebuild)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_few_images_have_a_score_each(tmp_path: Path, count: int) -> None:
    (tmp_path / "media").mkdir()
    write_pictures(tmp_path / "media", range(count))
    workshop = make(tmp_path, "home")
    workshop.run(ASSETS)
    scores = [row[0] for row in workshop.rows("select representativeness from representativeness")]
    assert len(scores) == count
    assert all(0 < score <= 1 for score in scores)


def test_another_metric_is_one_line(tmp_path: Path) -> None:
    write_pictures(tmp_path / "media", range(3))
    far = {"brain_key": "far", "method": "similarity", "parameters": {"metric": "euclidean"}}
    run = {"brain_key": "odd", "method": "representativeness", "similarity": "far"}
    workshop = make(tmp_path, "home", runs=[far, run])
    reason = workshop.run(ASSETS)["representativeness"].failed["odd"]
    assert "run odd: cluster-center-downweight needs neighbours by cosine" in reason
    assert "\n" not in reason
