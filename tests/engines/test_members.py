"""What every engine owes, whoever carries the work."""

import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from brain_assets.methods.similarity.similarity import build_graph, normalize
from brain_assets.resources.dataset import Opening, open_dataset
from brain_assets.resources.engines.door import Engine, by_blocks, engine
from brain_assets.resources.errors import ConfigurationError
from tests.engines.workers import Squares
from tests.workshop import Workshop

ASSETS = ("samples", "media", "embeddings", "similarity")
MEMBERS = ["threads", *(["ray"] if find_spec("ray") else [])]
# The block size is that of larger sets, so that there are several.
BLOCK = 64


@pytest.fixture(params=MEMBERS)
def member(request: pytest.FixtureRequest) -> Engine:
    return engine(request.param)


def test_every_item_is_worked_on_once(member: Engine) -> None:
    batches = [list(range(start, start + 7)) for start in range(0, 70, 7)]
    found = list(member.map_batches(Squares(), batches))
    assert sorted((item, square) for item, square, _ in found) == [(item, item**2) for item in range(70)]
    for few in ([], [[3]]):
        assert [item for item, *_ in member.map_batches(Squares(), few)] == [3] * len(few)


def test_a_worker_is_opened_once_for_many_batches(member: Engine) -> None:
    found = list(member.map_batches(Squares(seconds=0.01), [[item] for item in range(60)]))
    assert len({opening for *_, opening in found}) < 30


def test_batches_are_taken_as_workers_get_free(member: Engine) -> None:
    taken: list[int] = []

    def batches() -> Iterator[list[int]]:
        for item in range(1000):
            taken.append(item)
            yield [item]

    results = member.map_batches(Squares(), batches())
    next(results)
    assert len(taken) < 50
    results.close()


def test_an_error_of_the_work_is_the_error_that_it_was(member: Engine) -> None:
    with pytest.raises(ConfigurationError, match="5 is refused"):
        list(member.map_batches(Squares(refused=5), [[item] for item in range(10)]))


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_who_compares_does_not_change_the_graph(member: Engine, metric: str) -> None:
    random = np.random.default_rng(5)
    # Copies, and a crowd of them: what rounding and ties decide must be decided alike.
    vectors = np.repeat(random.normal(size=(300, 12)), 3, axis=0)
    vectors[random.permutation(900)[:100]] = vectors[0]
    rows, order = normalize(vectors), np.arange(900)
    expected = build_graph(rows, order, width=20, metric=metric)

    def in_blocks(space, count, block, progress):
        return by_blocks(member, space, count, BLOCK, progress)

    for top_k in (member.top_k, in_blocks):
        found = build_graph(rows, order, width=20, metric=metric, top_k=top_k)
        for name in ("neighbors", "distances", "valid"):
            assert np.array_equal(getattr(found, name), getattr(expected, name)), name


FOUND = {
    "media": "select * exclude (changed, preview_offset) from media order by content_hash",
    "quality_statistics": "select * exclude (changed) from quality_statistics order by content_hash",
    "vectors": "select model_version, input_key, vector, error from vectors order by all",
    "graph": "select input_key, distances from graph join vectors using (node) order by all",
}


@pytest.mark.skipif(len(MEMBERS) == 1, reason="Ray is not installed: make test-ray")
@pytest.mark.parametrize("name", MEMBERS[1:] or ["ray"])
def test_what_is_derived_is_that_of_one_process_to_the_bit(name: str, shared_data: Path, tmp_path: Path) -> None:
    """Real pictures, among them odd and broken ones."""
    odd = sorted((shared_data / "nasty" / "pillow_test_images").iterdir())
    usual = sorted((shared_data / "cifar10" / "test").iterdir())[:280]
    (tmp_path / "media").mkdir()
    for number, path in enumerate([*odd, *usual]):
        shutil.copy(path, tmp_path / "media" / f"{number}_{path.name}")
    (tmp_path / "media" / "cut.jpg").write_bytes(usual[0].read_bytes()[:600])
    found = []
    for carrier in ("threads", name):
        workshop = Workshop(tmp_path / f"home {len(found)}", tmp_path / "media", engine=carrier)
        workshop.run(ASSETS)
        with open_dataset(workshop.home, workshop.name, Opening("test", "test")) as dataset:
            found.append({table: dataset.store.rows(query) for table, query in FOUND.items()})
    assert len(found[0]["media"]) > 290
    assert any(row[1] != "ok" for row in found[0]["media"])
    for table in FOUND:
        assert found[1][table] == found[0][table], table


@pytest.mark.skipif(len(MEMBERS) > 1, reason="Ray is installed")
def test_without_ray_a_line_says_what_to_install() -> None:
    with pytest.raises(ConfigurationError, match=r"pip install 'brain-assets\[ray\]'"):
        engine("ray://127.0.0.1:10001")


def test_what_is_no_engine_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="is no Engine but a Squares"):
        engine("tests.engines.workers:Squares")
    with pytest.raises(ConfigurationError, match="cannot be loaded"):
        engine("tests.engines.nowhere:Engine")
