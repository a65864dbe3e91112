"""Neighbours of more images than are all compared: by cells, kept as images come and go, with the share that is found told."""

from pathlib import Path

import duckdb
import numpy as np
import pytest

from brain_assets.methods.similarity.centers import nearest_cells
from brain_assets.methods.similarity.similarity import build_graph
from tests.workshop import Workshop, write_pictures

LIMIT, K = 40, 3
SELECT = ("reviews", "samples", "media", "embeddings", "similarity", "uniqueness", "published")


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    write_pictures(tmp_path / "media", range(90))
    similarity = {"k": K, "exact_limit": LIMIT, "recall": 0.6}
    workshop = Workshop(tmp_path / "home", tmp_path / "media", select=SELECT, similarity=similarity)
    workshop.run()
    return workshop


def stored(workshop: Workshop, query: str) -> list[tuple]:
    with duckdb.connect(str(workshop.paths.store), read_only=True) as connection:
        return connection.execute(query).fetchall()


def fits(workshop: Workshop) -> int:
    return stored(workshop, "select coalesce(min(fitted_to), 0) from cells")[0][0]


def assert_nearest_of_the_compared(workshop: Workshop) -> None:
    """Compare the stored lists with those that the stored centres give, computed at once over all that is there."""
    rows = stored(workshop, "select node, vector from embeddings join vectors using (input_key) order by input_key")
    nodes = np.array([node for node, _ in rows])
    vectors = np.array([vector for _, vector in rows], np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    centers = np.array([center for (center,) in stored(workshop, "select center from cells order by cell")], np.float32)
    near = dict(stored(workshop, "select node, cells from near_cells"))
    assert near.keys() == set(nodes.tolist())
    cells = nearest_cells(vectors, centers, len(near[int(nodes[0])]))
    assert cells.near.tolist() == [near[int(node)] for node in nodes]
    wanted = build_graph(vectors, np.arange(len(nodes)), width=K, cells=cells)
    lists = dict(stored(workshop, "select node, neighbors from graph"))
    assert [lists[int(node)][:K] for node in nodes] == nodes[wanted.neighbors].tolist()
    assert not workshop.wrong(["similarity"])


def test_images_are_compared_within_their_cells_as_they_come_and_go(workshop: Workshop) -> None:
    assert fits(workshop) == 90
    ((contents, cells, near, sampled, recall),) = workshop.rows("select * exclude (brain_key) from neighbor_recall")
    assert contents == sampled == 90
    assert 2 <= near < cells
    assert 0.5 < recall < 1
    assert_nearest_of_the_compared(workshop)
    media = workshop.home.root.parent / "media"
    for seed in range(12):
        (media / f"{seed:05}.png").unlink()
    write_pictures(media, range(90, 105))
    assert workshop.run()["similarity"].notes["searched"] < 60
    assert fits(workshop) == 90
    assert_nearest_of_the_compared(workshop)


def test_centres_are_fitted_again_to_twice_as_many_and_given_up_below_the_limit(workshop: Workshop) -> None:
    media = workshop.home.root.parent / "media"
    write_pictures(media, range(90, 200))
    workshop.run()
    assert fits(workshop) == 200
    assert_nearest_of_the_compared(workshop)
    for path in sorted(media.iterdir())[:170]:
        path.unlink()
    workshop.run()
    assert stored(workshop, "select count(*) from cells union all select count(*) from near_cells") == [(0,), (0,)]
    assert workshop.rows("select contents, cells, recall from neighbor_recall") == [(30, None, 1.0)]
    workshop.declare(
        media=str(media), embeddings={"model": "python:tests.models:Pixels"}, similarity={"k": K, "exact_limit": 20}
    )
    workshop.run()
    assert fits(workshop) == 30
    assert_nearest_of_the_compared(workshop)


def test_cells_stay_while_images_come_and_go_around_the_limit(workshop: Workshop) -> None:
    media = workshop.home.root.parent / "media"

    def run(limit: int) -> int:
        similarity = {"k": K, "exact_limit": limit, "recall": 0.6}
        workshop.declare(media=str(media), embeddings={"model": "python:tests.models:Pixels"}, similarity=similarity)
        return int(workshop.run()["similarity"].notes["searched"])

    for path in sorted(media.iterdir())[:14]:
        path.unlink()
    assert run(80) < 76
    assert fits(workshop) == 90
    assert_nearest_of_the_compared(workshop)
    write_pictures(media, range(90, 96))
    assert run(80) < 40
    assert fits(workshop) == 90
    assert_nearest_of_the_compared(workshop)
    # Who raises the limit wants all compared, and has them so until more than the limit are there.
    assert run(100) == 82
    assert workshop.rows("select contents, cells, recall from neighbor_recall") == [(82, None, 1.0)]
    assert run(82) == 0
    assert fits(workshop) == 0
