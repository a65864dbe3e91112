"""Maps stay recognisable: new points join, old ones stay, a refit starts from where the map stands."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from brain_assets.resources.errors import ConfigurationError
from brain_assets.resources.settings.configuration import VisualizationSettings
from brain_assets.signals.similarity.visualization import _unused
from tests.workshop import Workshop, write_pictures

MAPS = ("samples", "media", "embeddings", "similarity", "visualization", "published")
METHODS = ("umap", "pca", "tsne")
POINTS = "select sample_id, x, y from visualization order by sample_id"


def all_methods(root: Path) -> Workshop:
    """Return a dataset with a map by each method."""
    runs = [{"brain_key": name, "method": "visualization", "parameters": {"method": name}} for name in METHODS]
    return Workshop(root / "home", root / "media", select=MAPS, runs=runs)


def points(workshop: Workshop, key: str) -> dict[str, tuple[float, float]]:
    rows = workshop.rows(f"select sample_id, x, y from visualization where brain_key = '{key}'")
    return {sample: place for sample, *place in rows}


def test_new_points_join_and_old_ones_stay(tmp_path: Path) -> None:
    write_pictures(tmp_path / "media", range(40))
    workshop = all_methods(tmp_path)
    assert workshop.run()["visualization"].failed == {}
    before = {key: points(workshop, key) for key in METHODS}
    write_pictures(tmp_path / "media", range(100, 103))
    assert workshop.run()["visualization"].failed == {}
    for key, places in before.items():
        after = points(workshop, key)
        assert (len(places), len(after)) == (40, 43)
        assert all(after[sample] == place for sample, place in places.items())
        assert np.isfinite(list(after.values())).all()


def test_growth_fits_the_map_anew_and_keeps_it_recognisable(tmp_path: Path) -> None:
    write_pictures(tmp_path / "media", range(60))
    workshop = Workshop(tmp_path / "home", tmp_path / "media", select=MAPS)
    workshop.run()
    before = {row[0]: row[1:] for row in workshop.rows(POINTS)}
    write_pictures(tmp_path / "media", range(100, 110))
    notes = workshop.run()["visualization"].notes
    assert (notes["fitted on"], notes["made by"]) == (70, "own")
    after = {row[0]: row[1:] for row in workshop.rows(POINTS)}
    moved = np.linalg.norm([np.subtract(after[one], before[one]) for one in before], axis=1)
    radius = np.linalg.norm(np.std(list(before.values()), axis=0))
    assert np.median(moved) < radius / 2


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_tiny_sets_have_a_map(tmp_path: Path, count: int) -> None:
    write_pictures(tmp_path / "media", range(count))
    workshop = all_methods(tmp_path)
    assert workshop.run()["visualization"].failed == {}
    assert {key: len(points(workshop, key)) for key in METHODS} == dict.fromkeys(METHODS, count)
    assert workshop.wrong() == {}


def test_a_map_of_tsne_follows_its_own_settings(tmp_path: Path) -> None:
    write_pictures(tmp_path / "media", range(20))
    made = {}
    for name, settings in {"plain": {}, "seed": {"seed": 7}, "few": {"perplexity": 3}}.items():
        declared = {"method": "tsne", "iterations": 250, **settings}
        workshop = Workshop(tmp_path / "home", tmp_path / "media", select=MAPS, visualization=declared)
        workshop.run()
        made[name] = workshop.rows(POINTS)
    assert made["plain"] != made["seed"]
    assert made["plain"] != made["few"]


def test_a_map_is_not_made_again_for_settings_that_it_does_not_use() -> None:
    def used(**settings: Any) -> set[str]:
        section = VisualizationSettings(**settings)
        return set(section.model_dump(exclude=_unused(section)))

    plain = {"method", "dimensions", "n_neighbors", "min_dist", "seed", "refit_share", "points", "reducer"}
    assert used() == used(perplexity=5, iterations=500) == plain
    assert used(method="tsne") == plain
    assert used(method="tsne", perplexity=5, pca_dims=9) == plain | {"perplexity", "pca_dims"}
    assert used(implementation="umap-learn") == plain | {"implementation", "metric"}
    assert used(implementation="umap-learn", umap={"spread": 2}) == plain | {"implementation", "metric", "umap"}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"umap": {"spread": 2}}, "has no effect but with"),
        ({"implementation": "umap-learn", "umap": {"n_components": 3}}, "visualization.dimensions says this"),
    ],
)
def test_parameters_of_umap_learn_that_would_not_count_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        VisualizationSettings(**settings)


@pytest.mark.slow
def test_umap_learn_makes_the_map_where_it_is_asked_to(tmp_path: Path) -> None:
    write_pictures(tmp_path / "media", range(40))
    settings = {
        "implementation": "umap-learn",
        "metric": "manhattan",
        "n_neighbors": 5,
        "min_dist": 0.5,
        "umap": {"spread": 2.0},
    }
    workshop = Workshop(tmp_path / "home", tmp_path / "media", select=MAPS, visualization=settings)
    assert workshop.run()["visualization"].notes["made by"] == "umap-learn"
    before = {row[0]: row[1:] for row in workshop.rows(POINTS)}
    rows = workshop.rows("select sample_id, vector from embeddings order by sample_id")
    from umap import UMAP

    model = UMAP(metric="manhattan", n_neighbors=5, min_dist=0.5, spread=2.0, random_state=51, n_jobs=1)
    expected = model.fit_transform(np.array([row[1] for row in rows], np.float32))
    np.testing.assert_allclose([before[row[0]] for row in rows], expected, atol=1e-5)
    write_pictures(tmp_path / "media", range(100, 102))
    workshop.run()
    after = {row[0]: row[1:] for row in workshop.rows(POINTS)}
    assert len(after) == 42
    assert all(after[sample] == place for sample, place in before.items())
    write_pictures(tmp_path / "media", range(102, 112))
    assert workshop.run()["visualization"].notes["fitted on"] == 52
    assert np.isfinite([row[1:] for row in workshop.rows(POINTS)]).all()
    assert workshop.wrong() == {}


def test_points_can_be_given(tmp_path: Path) -> None:
    write_pictures(tmp_path / "media", range(3))
    (tmp_path / "points.csv").write_text("filepath,x,y\n00000.png,1,2\n00002.png,3,4\nother.png,5,6\n")
    settings = {"method": "manual", "points": str(tmp_path / "points.csv")}
    workshop = Workshop(tmp_path / "home", tmp_path / "media", select=MAPS, visualization=settings)
    workshop.run()
    query = "select filepath, x, y from visualization join samples using (sample_id) order by filepath"
    assert workshop.rows(query) == [("00000.png", 1.0, 2.0), ("00002.png", 3.0, 4.0)]


def test_a_reducer_that_is_not_there_is_named(tmp_path: Path) -> None:
    write_pictures(tmp_path / "media", range(3))
    settings = {"method": "custom", "reducer": "nowhere:Map"}
    workshop = Workshop(tmp_path / "home", tmp_path / "media", select=MAPS, visualization=settings)
    with pytest.raises(ConfigurationError, match="nowhere:Map"):
        workshop.run()


def test_further_runs_stand_side_by_side_and_go_when_undeclared(tmp_path: Path) -> None:
    write_pictures(tmp_path / "media", range(12))
    media = str(tmp_path / "media")
    run = {"brain_key": "axes", "method": "visualization", "parameters": {"method": "pca", "dimensions": 3}}
    workshop = Workshop(tmp_path / "home", media, select=MAPS, runs=[run])
    workshop.run()
    counts = "select brain_key, count(*), count(z) from visualization group by 1 order by 1"
    assert workshop.rows(counts) == [("axes", 12, 12), ("visualization", 12, 0)]
    workshop.declare(media=media, embeddings={"model": "python:tests.models:Pixels"})
    workshop.run()
    assert workshop.rows(counts) == [("visualization", 12, 0)]
