"""Given vectors in every form they may have, and what is said of those that do not fit."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as numpy_strategies
from numpy.typing import NDArray
from pyarrow import csv, parquet

from brain_assets.resources.errors import ConfigurationError, MissingError
from brain_assets.resources.models.embedding_models import EmbeddingModel, load_model, model_version
from brain_assets.resources.models.embedding_precomputed import PrecomputedVectors, load_vectors

KEYS = ["a/1.jpg", "b/2.jpg", "c,3.jpg"]
MATRIX = np.array([[1, 2.5], [np.nan, 0], [0, 0]], np.float32)


def save_npz(path: Path, key: str, keys: list[str], matrix: NDArray[np.float32]) -> Path:
    np.savez(path.with_suffix(".npz"), **{key: np.array(keys), "vectors": matrix})
    return path.with_suffix(".npz")


def save_npy(path: Path, key: str, keys: list[str], matrix: NDArray[np.float32]) -> Path:
    np.save(path.with_suffix(".npy"), matrix)
    csv.write_csv(pa.table({key: keys}), path.with_suffix(".csv"))
    return path.with_suffix(".npy")


def save_parquet(path: Path, key: str, keys: list[str], matrix: NDArray[np.float32]) -> Path:
    vectors = pa.array(matrix.tolist(), pa.list_(pa.float32()))
    parquet.write_table(pa.table({key: keys, "label": keys, "vector": vectors}), path.with_suffix(".parquet"))
    return path.with_suffix(".parquet")


def save_fixed_size_lists(path: Path, key: str, keys: list[str], matrix: NDArray[np.float32]) -> Path:
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(matrix.ravel()), matrix.shape[1])
    parquet.write_table(pa.table({key: keys, "embedding": vectors}), path.with_suffix(".parquet"))
    return path.with_suffix(".parquet")


def save_csv_lists(path: Path, key: str, keys: list[str], matrix: NDArray[np.float32]) -> Path:
    vectors = [json.dumps(row) for row in matrix.tolist()]
    csv.write_csv(pa.table({key: keys, "vector": vectors}), path.with_suffix(".csv"))
    return path.with_suffix(".csv")


def save_csv_columns(path: Path, key: str, keys: list[str], matrix: NDArray[np.float32]) -> Path:
    columns = {f"x{number}": column for number, column in enumerate(matrix.T.copy())}
    csv.write_csv(pa.table({key: keys, **columns}), path.with_suffix(".csv"))
    return path.with_suffix(".csv")


Save = Callable[[Path, str, list[str], NDArray[np.float32]], Path]
SAVERS = [save_npz, save_npy, save_parquet, save_fixed_size_lists, save_csv_lists, save_csv_columns]


@pytest.mark.parametrize("save", SAVERS)
@pytest.mark.parametrize(("name", "key"), [("filepath", "filepath"), ("sample_ids", "sample_id")])
def test_vectors_come_back_as_given(save: Save, name: str, key: str, tmp_path: Path) -> None:
    model = load_model(f"precomputed:{save(tmp_path / 'vectors', name, KEYS, MATRIX)}", cache=tmp_path)
    assert isinstance(model, PrecomputedVectors)
    assert isinstance(model, EmbeddingModel)
    assert (model.key, model.dimension, model.input, model.supports_text) == (key, 2, None, False)
    keys, matrix = model.vectors()
    assert keys == KEYS
    assert matrix.dtype == np.float32
    np.testing.assert_array_equal(matrix, MATRIX)


@pytest.mark.parametrize("save", SAVERS)
def test_keys_that_look_like_numbers_stay_text(save: Save, tmp_path: Path) -> None:
    path = save(tmp_path / "vectors", "sample_id", ["007", "1e5", "12"], MATRIX)
    assert load_vectors(str(path)).keys == ["007", "1e5", "12"]


@given(matrix=numpy_strategies.arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(1, 5))))
def test_every_float_survives(matrix: NDArray[np.float32], tmp_path_factory: pytest.TempPathFactory) -> None:
    keys = [str(row) for row in range(len(matrix))]
    folder = tmp_path_factory.mktemp("vectors")
    for number, save in enumerate(SAVERS[:5]):
        loaded = load_vectors(str(save(folder / str(number), "filepath", keys, matrix)))
        np.testing.assert_array_equal(loaded.matrix, matrix)


def test_version_does_not_depend_on_the_content(tmp_path: Path) -> None:
    one = load_model(f"precomputed:{save_npz(tmp_path / 'one', 'filepath', KEYS, MATRIX)}", cache=tmp_path)
    two = load_model(f"precomputed:{save_csv_lists(tmp_path / 'two', 'filepath', KEYS, MATRIX + 1)}", cache=tmp_path)
    assert one.version == two.version == model_version("precomputed:anything.npz", cache=tmp_path)


def test_given_vectors_embed_nothing(tmp_path: Path) -> None:
    model = load_vectors(str(save_npz(tmp_path / "vectors", "filepath", KEYS, MATRIX)))
    with pytest.raises(TypeError, match="cannot embed images"):
        model.embed(np.zeros((1, 2, 2, 3), np.uint8))
    with pytest.raises(TypeError, match="cannot embed text"):
        model.embed_text(["a cat"])


def test_empty_file_has_no_dimension(tmp_path: Path) -> None:
    path = save_parquet(tmp_path / "vectors", "filepath", [], np.empty((0, 2), np.float32))
    with pytest.raises(ConfigurationError, match="must form a matrix"):
        load_vectors(str(path))


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def pickled(folder: Path) -> Path:
    np.savez(folder / "v.npz", filepath=np.array(["a", None], object), vectors=MATRIX[:2])
    return folder / "v.npz"


def ragged(folder: Path) -> Path:
    parquet.write_table(pa.table({"filepath": ["a", "b"], "vector": [[1.0], [1.0, 2.0]]}), folder / "v.parquet")
    return folder / "v.parquet"


def without_keys(folder: Path) -> Path:
    parquet.write_table(pa.table({"filepath": ["a", None], "vector": [[1.0], [2.0]]}), folder / "v.parquet")
    return folder / "v.parquet"


def without_vector(folder: Path) -> Path:
    parquet.write_table(pa.table({"filepath": ["a", "b"], "vector": [[1.0], None]}), folder / "v.parquet")
    return folder / "v.parquet"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: save_npz(folder / "v", "filepath", KEYS[:2], MATRIX), "2 keys for 3 vectors"),
        (lambda folder: save_npz(folder / "v", "filepath", ["a", "b", "a"], MATRIX), "'a' is given more than once"),
        (lambda folder: save_npz(folder / "v", "filepath", KEYS, MATRIX[0]), "must form a matrix"),
        (lambda folder: save_npz(folder / "v", "path", KEYS, MATRIX), "lacks 'filepath'.*it has path, vectors"),
        (pickled, "cannot be read"),
        (ragged, "differ in length: 1 to 2"),
        (without_keys, "row 2 has no filepath"),
        (without_vector, "differ in length: 0 to 1"),
        (lambda folder: write(folder / "v.npy", "no array"), "v.csv does not exist"),
        (lambda folder: write(folder / "v.csv", "filepath\na\n"), "lacks a column 'vector'"),
        (lambda folder: write(folder / "v.csv", "filepath,x\na,red\n"), "cannot be read"),
        (lambda folder: write(folder / "v.csv", 'filepath,vector\na,"[1"\n'), "cannot be read"),
        (lambda folder: write(folder / "v.csv", ""), "cannot be read"),
        (lambda folder: write(folder / "v.parquet", "none"), "cannot be read"),
        (lambda folder: write(folder / "v.json", "{}"), "are read from .npz, .npy, .parquet, .csv"),
    ],
)
def test_unusable_vectors_are_one_line(make: Callable[[Path], Path], message: str, tmp_path: Path) -> None:
    with pytest.raises((ConfigurationError, MissingError), match=message) as error:
        load_vectors(str(make(tmp_path)))
    assert "\n" not in str(error.value)
    assert str(tmp_path) in str(error.value)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("kind", ["<f4", ">f8", "<f2", "<i4"])
@pytest.mark.parametrize("save", ["npy", "savez", "savez_compressed"])
def test_large_arrays_are_read_part_by_part_into_a_file_without_a_name(
    save: str, kind: str, order: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("brain_assets.resources.scratch.SMALL_BYTES", 100)
    monkeypatch.setattr("brain_assets.resources.models.embedding_precomputed.READ_BYTES", 50)
    matrix = np.arange(60).reshape(20, 3).astype(kind, order=order)
    keys = [f"{number}.jpg" for number in range(20)]
    path = tmp_path / ("v.npy" if save == "npy" else "v.npz")
    if save == "npy":
        np.save(path, matrix)
        csv.write_csv(pa.table({"filepath": keys}), tmp_path / "v.csv")
    else:
        getattr(np, save)(path, filepath=np.array(keys), vectors=matrix)
    read = load_vectors(str(path), tmp_path)
    np.testing.assert_array_equal(read.matrix, matrix)
    assert read.matrix.dtype == np.float32
    assert read.keys == keys
    if order == "C":
        assert not read.matrix.flags.owndata
        assert sorted(one.name for one in tmp_path.iterdir()) == (["v.csv", "v.npy"] if save == "npy" else ["v.npz"])


def test_an_array_that_was_cut_short_is_told(tmp_path: Path) -> None:
    path = save_npy(tmp_path / "v", "filepath", KEYS, MATRIX)
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(ConfigurationError, match=r"v\.npy cannot be read: it ends before the last of 3 vectors"):
        load_vectors(str(path))
