"""Geometry of objects against loops, rasters and known areas."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from brain_assets.methods.labels.objects import (
    Objects,
    box_iou,
    crop_rectangles,
    decode_rle,
    expand_boxes,
    mask_edges,
    mask_rings,
    outline_iou,
    overlaps,
    pairs,
    polygon_edges,
    region_means,
)

GOLDEN = Path(__file__).parent.parent / "golden" / "seed7"
BOX = st.tuples(*[st.floats(0, 10)] * 2, *[st.floats(0, 5)] * 2)
EXACT_BOX = st.tuples(*[st.integers(0, 640)] * 2, *[st.integers(0, 320)] * 2).map(
    lambda box: tuple(n / 64 for n in box)
)
"""Boxes whose corners are not rounded, so that slivers are the same for both ways to an area."""
MASK = arrays(np.bool_, st.tuples(st.integers(1, 8), st.integers(1, 8)))


def corners(box: tuple[float, float, float, float]) -> np.ndarray:
    x, y, width, height = box
    return polygon_edges([[[x, y], [x + width, y], [x + width, y + height], [x, y + height]]])


def objects(images: list[list[list[float]]], **more: object) -> Objects:
    boxes = np.array([box for image in images for box in image], dtype=float).reshape(-1, 4)
    return Objects(boxes, np.zeros(len(boxes), np.int64), np.cumsum([0, *map(len, images)]), **more)


@given(MASK)
def test_the_rings_of_a_mask_hold_its_pixels(mask: np.ndarray) -> None:
    outline = polygon_edges(mask_rings(mask))
    assert outline_iou(outline, mask_edges(mask)) == pytest.approx(float(mask.any()))


@given(st.lists(st.integers(0, 3), max_size=6), st.data())
def test_pairs_are_all_pairs_of_the_same_image(first: list[int], data: st.DataObject) -> None:
    second = data.draw(st.lists(st.integers(0, 3), min_size=len(first), max_size=len(first)))
    left, right = np.repeat(range(len(first)), first), np.repeat(range(len(second)), second)
    expected = [(i, j) for i in range(len(left)) for j in range(len(right)) if left[i] == right[j]]
    one, other = pairs(np.cumsum([0, *first]), np.cumsum([0, *second]))
    assert list(zip(one.tolist(), other.tolist(), strict=True)) == expected


@given(BOX, BOX)
@example((0.0, 0.0, 3.0, 1.0), (2.9, 0.0, 2.220446049250313e-16, 1.0))
def test_an_overlap_is_a_share(first: tuple[float, ...], second: tuple[float, ...]) -> None:
    for crowd in (False, True):
        assert 0 <= box_iou([first], [second], [crowd])[0] <= 1 + 1e-12


def test_a_sliver_overlaps_itself_wholly() -> None:
    sliver = (2.9, 0.0, 2.220446049250313e-16, 1.0)
    assert box_iou([sliver], [sliver]) == pytest.approx([1])


@given(EXACT_BOX, EXACT_BOX)
def test_the_overlap_of_boxes_is_that_of_their_outlines(first: tuple[float, ...], second: tuple[float, ...]) -> None:
    for crowd in (False, True):
        boxes = box_iou([first], [second], [crowd])[0]
        assert outline_iou(corners(first), corners(second), crowd=crowd) == pytest.approx(boxes, abs=1e-6)


@given(EXACT_BOX, EXACT_BOX)
def test_overlap_does_not_depend_on_order_or_scale(first: tuple[float, ...], second: tuple[float, ...]) -> None:
    scale = np.array([640, 480, 640, 480])
    iou = box_iou([first], [second])
    assert iou == pytest.approx(box_iou([second], [first]))
    assert iou == pytest.approx(box_iou(scale * [first], scale * [second]))


@given(MASK, st.data())
def test_the_overlap_of_masks_counts_their_pixels(first: np.ndarray, data: st.DataObject) -> None:
    second = data.draw(arrays(np.bool_, st.just(first.shape)))
    shared = (first & second).sum()
    for crowd, whole in ((False, (first | second).sum()), (True, second.sum())):
        expected = shared / whole if whole else 0.0
        assert outline_iou(mask_edges(first), mask_edges(second), crowd=crowd) == pytest.approx(expected)


def test_the_overlap_of_polygons_is_close_to_the_true_area() -> None:
    angles = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    lens = 2 * np.arccos(0.25) - 0.5 * np.sqrt(1 - 0.25**2)
    expected = lens / (2 * np.pi - lens)
    assert outline_iou(polygon_edges([circle]), polygon_edges([circle + np.array([0.5, 0])])) == pytest.approx(
        expected, abs=5e-4
    )


def test_crossing_edges_cost_little_precision() -> None:
    rng = np.random.default_rng(0)
    grid = (np.arange(400) + 0.5) / 400
    x, y = np.meshgrid(grid, grid)

    def raster(triangle: np.ndarray) -> np.ndarray:
        sides = [
            (b[0] - a[0]) * (y - a[1]) - (b[1] - a[1]) * (x - a[0])
            for a, b in zip(triangle, np.roll(triangle, -1, axis=0), strict=True)
        ]
        return np.all([side > 0 for side in sides], axis=0) | np.all([side < 0 for side in sides], axis=0)

    for _ in range(10):
        first, second = rng.random((2, 3, 2))
        expected = (raster(first) & raster(second)).sum() / (raster(first) | raster(second)).sum()
        assert outline_iou(polygon_edges([first]), polygon_edges([second])) == pytest.approx(expected, abs=6e-3)


def test_a_ring_inside_a_ring_is_a_hole() -> None:
    outer, inner = [[0, 0], [4, 0], [4, 4], [0, 4]], [[1, 1], [3, 1], [3, 3], [1, 3]]
    frame, hole = polygon_edges([outer, inner]), polygon_edges([inner])
    assert outline_iou(frame, hole) == 0
    assert outline_iou(frame, polygon_edges([outer])) == pytest.approx(12 / 16)


@pytest.mark.parametrize("rings", [[], [[]], [[[1, 1]]], [[[0, 0], [1, 1]]]])
def test_an_outline_without_area_overlaps_nothing(rings: list) -> None:
    assert outline_iou(polygon_edges(rings), corners((0, 0, 2, 2))) == 0


def test_overlapping_pairs_of_a_batch() -> None:
    labels = objects([[[0, 0, 2, 2], [5, 5, 1, 1]], [], [[0, 0, 1, 1]]])
    predictions = objects([[[1, 0, 2, 2]], [[0, 0, 1, 1]], [[0, 0, 1, 1], [0, 0, 1, 2]]])
    found = overlaps(labels, predictions)
    assert list(zip(found.first.tolist(), found.second.tolist(), strict=True)) == [(0, 0), (2, 2), (2, 3)]
    assert found.iou == pytest.approx([1 / 3, 1, 1 / 2])


def test_outlines_count_where_both_have_one() -> None:
    triangle = polygon_edges([[[0, 0], [2, 0], [0, 2]]])
    square = corners((0, 0, 2, 2))
    labels = objects([[[0, 0, 2, 2], [0, 0, 2, 2]]], outlines=(triangle, None))
    predictions = objects([[[0, 0, 2, 2]]], outlines=(square,))
    assert overlaps(labels, predictions).iou == pytest.approx([0.5, 1.0])
    assert overlaps(labels, objects([[[0, 0, 2, 2]]])).iou == pytest.approx([1.0, 1.0])


def test_other_images_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="same images"):
        overlaps(objects([[]]), objects([[], []]))


def test_no_objects_overlap_nothing() -> None:
    assert overlaps(objects([]), objects([])).iou.size == 0
    assert overlaps(objects([[], []]), objects([[], [[0, 0, 1, 1]]])).iou.size == 0


@given(MASK)
def test_run_lengths_go_back_to_their_mask(mask: np.ndarray) -> None:
    flat = mask.T.ravel()
    changes = np.flatnonzero(np.diff(flat, prepend=False, append=not flat[-1]))
    runs = np.diff(changes, prepend=0).tolist()
    np.testing.assert_array_equal(decode_rle(runs, *mask.shape), mask)


def test_compressed_run_lengths_are_those_of_coco() -> None:
    mask = np.zeros((20, 30), dtype=bool)
    mask[3:17, 4:9] = True
    mask[5:9, 12:28] = True
    text = r"c2>60000000n1F\N00000000000000000000000000000S1"
    runs = [83, *[14, 6] * 4, 14, 68, *[4, 16] * 15, 4, 51]
    np.testing.assert_array_equal(decode_rle(runs, 20, 30), mask)
    np.testing.assert_array_equal(decode_rle(text, 20, 30), mask)
    np.testing.assert_array_equal(decode_rle(text.encode(), 20, 30), mask)


def test_runs_must_cover_the_image() -> None:
    with pytest.raises(ValueError, match="cover 5 pixels"):
        decode_rle([2, 3], 2, 2)


@given(st.tuples(*[st.floats(0, 1)] * 2, *[st.floats(0, 1)] * 2), st.floats(-1, 3))
def test_expansion_keeps_the_centre_and_stays_inside(box: tuple[float, ...], alpha: float) -> None:
    x, y, width, height = expand_boxes([box], alpha)[0]
    assert min(x, y, width, height) >= 0
    assert max(x + width, y + height) <= 1 + 1e-9
    wide = box[2] * (1 + alpha)
    if box[0] + box[2] / 2 - wide / 2 > 0 and box[0] + box[2] / 2 + wide / 2 < 1:
        assert width == pytest.approx(wide, abs=1e-9)
        assert x + width / 2 == pytest.approx(box[0] + box[2] / 2, abs=1e-9)


def test_expansion_of_each_side_and_by_a_margin() -> None:
    found = expand_boxes([[0.4, 0.4, 0.2, 0.2]] * 2, (0.5, 0.0), [[0.1, 0.0], [0.0, 0.5]])
    np.testing.assert_allclose(found, [[0.25, 0.4, 0.5, 0.2], [0.35, 0.0, 0.3, 1.0]])


def test_expansion_has_a_lower_end() -> None:
    with pytest.raises(ValueError, match="at least -1"):
        expand_boxes([[0, 0, 1, 1]], alpha=-1.5)


@given(
    st.tuples(*[st.floats(-0.2, 1.2)] * 2, *[st.floats(0, 1.2)] * 2),
    st.tuples(st.integers(1, 50), st.integers(1, 50)),
    st.booleans(),
)
def test_a_crop_lies_inside_its_image(box: tuple[float, ...], size: tuple[int, int], square: bool) -> None:
    left, top, right, bottom = crop_rectangles([box], [size], force_square=square)[0]
    assert 0 <= left < right <= size[0]
    assert 0 <= top < bottom <= size[1]
    if square:
        assert right - left == bottom - top


@pytest.mark.parametrize(
    ("box", "size", "expected"),
    [
        ((0.5, 0.5, 0.1, 0.1), (100, 100), (50, 50, 60, 60)),
        ((0.5, 0.5, 0.1, 0.13), (100, 100), (49, 50, 62, 63)),
        ((0.0, 0.5, 0.1, 0.3), (100, 100), (0, 50, 30, 80)),
        ((0.9, 0.5, 0.1, 0.3), (100, 100), (70, 50, 100, 80)),
        ((0.0, 0.0, 1.0, 0.5), (100, 40), (30, 0, 70, 40)),
    ],
)
def test_square_crops_follow_the_stated_rule(
    box: tuple[float, ...], size: tuple[int, int], expected: tuple[int, ...]
) -> None:
    assert tuple(crop_rectangles([box], [size], force_square=True)[0]) == expected


def test_region_means_are_the_vectors_behind_the_peers_uniqueness() -> None:
    inputs = np.load(GOLDEN / "inputs.npz")
    means = region_means(inputs["patch_embeddings"], np.concatenate([[0], np.cumsum(inputs["npatch"])]))
    centred = means - means.mean(axis=0)
    unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    distances = 1 - unit @ unit.T
    np.fill_diagonal(distances, np.inf)
    raw = np.sort(distances, axis=1)[:, 1:4] @ [0.6, 0.3, 0.1]
    theirs = json.loads((GOLDEN / "outputs.json").read_text())["uniqueness.roi_dict"]
    np.testing.assert_allclose(raw / raw.max(), theirs, atol=1e-9)


def test_images_without_regions_have_no_mean() -> None:
    means = region_means(np.ones((2, 3), np.float32), [0, 0, 2, 2])
    assert means.dtype == np.float32
    assert np.isnan(means[[0, 2]]).all()
    assert (means[1] == 1).all()
    assert region_means(np.empty((0, 3)), [0]).shape == (0, 3)
