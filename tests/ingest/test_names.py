"""What names in files mean: paths of other systems and places, tails, stems, and what nobody can tell."""

import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from brain_assets.ingest import names
from brain_assets.resources.media.listing import address
from brain_assets.resources.store.store import Store

ROOT = "/data/set"


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> duckdb.DuckDBPyConnection:
    """A store, of which only the macros count here."""
    return Store(tmp_path_factory.mktemp("store") / "store.duckdb").connection


def resolve(
    connection: duckdb.DuckDBPyConnection,
    samples: Sequence[str],
    files: Mapping[str, Sequence[str | Sequence[str]]],
    folder: str = "/elsewhere",
    root: str = ROOT,
) -> dict[str, str | None]:
    """Return for each name the path of its sample, or why it has none; files lie below ``folder``."""
    paths = [{"sample_id": f"id of {name}", "filepath": name, "uri": address(f"{root}/{name}")} for name in samples]
    asked = [
        {
            "source": 0,
            "file": file,
            "name": _forms(name)[0],
            "form": form.removeprefix("//"),
            "turn": turn,
            "late": False,
        }
        for file, found in files.items()
        for name in found
        for turn, form in enumerate(_forms(name), 1)
    ]
    folders = [{"source": 0, "file": file, "folder": str((Path(folder) / file).parent)} for file in files]
    for table, rows in (("there_", paths), ("asked_", asked), ("folders_", folders)):
        connection.register(table, pa.Table.from_pylist(rows))
    query = names.resolution("select * from asked_", "folders_", samples="select * from there_")
    rows = connection.execute(f"select name, coalesce(substr(sample_id, 7), reason) from ({query})").fetchall()
    assert len(rows) == len({(row["file"], row["name"]) for row in asked})
    return dict(rows)


def _forms(name: str | Sequence[str]) -> list[str]:
    return [name] if isinstance(name, str) else [*name]


def test_a_path_from_the_root_an_address_and_an_id_mean_their_sample(connection: duckdb.DuckDBPyConnection) -> None:
    asked = ["a/1.jpg", "./a/1.jpg", f"{ROOT}/a/1.jpg", f"file://{ROOT}/a/1.jpg", "id of a/1.jpg", "a//1.jpg", "a/1"]
    assert resolve(connection, ["a/1.jpg", "b/1.jpg"], {"l.csv": asked}) == dict.fromkeys(asked, "a/1.jpg")


@pytest.mark.parametrize(
    ("name", "path"),
    [
        (r"C:\Users\me\data\train\0.jpg", "train/0.jpg"),
        (r"train\1.jpg", "train/1.jpg"),
        (r"..\..\upload\4\2.jpg", "train/2.jpg"),
        (r"\\server\share\train\1.jpg", "train/1.jpg"),
        ("img%20one.jpg", "train/img one.jpg"),
        ("100%.jpg", "train/100%.jpg"),
        ("Fu\u0308\u00dfe.jpg", "train/F\u00fc\u00dfe.jpg"),
        ("A+B.JPG", "train/a+b.jpg"),
        ("/old/place/train/0.jpg", "train/0.jpg"),
        ("https://host/bucket/train/0.jpg?sig=a/b.jpg", "train/0.jpg"),
        ("/data/local-files/?d=train/0.jpg", "train/0.jpg"),
        ("0", "train/0.jpg"),
        ("inner/z.jpg", "train/pack.zip!/inner/z.jpg"),
        ("pack.zip/inner/z.jpg", "train/pack.zip!/inner/z.jpg"),
        ("train/pack.zip!/inner/z.jpg", "train/pack.zip!/inner/z.jpg"),
        ("nothing.jpg", "no_sample"),
        ("%ff.jpg", "no_sample"),
        ("0.png", "no_sample"),
    ],
)
def test_names_of_other_places_and_systems(connection: duckdb.DuckDBPyConnection, name: str, path: str) -> None:
    samples = [
        "0.jpg",
        "1.jpg",
        "2.jpg",
        "img one.jpg",
        "100%.jpg",
        "F\u00fc\u00dfe.jpg",
        "a+b.jpg",
        "pack.zip!/inner/z.jpg",
    ]
    samples = [f"train/{sample}" for sample in samples]
    assert resolve(connection, samples, {"l.csv": [name]}) == {name: path}


def test_twins_that_differ_in_their_code_points_are_told_apart(connection: duckdb.DuckDBPyConnection) -> None:
    twins = [unicodedata.normalize(form, "café.png") for form in ("NFC", "NFD")]
    assert resolve(connection, twins, {"l.csv": twins}) == dict(zip(twins, twins, strict=True))
    assert resolve(connection, twins, {"l.csv": ["caf%C3%A9.png"]}) == {"caf%C3%A9.png": "ambiguous"}


def test_upper_and_lower_case_count_where_they_tell_samples_apart(connection: duckdb.DuckDBPyConnection) -> None:
    assert resolve(connection, ["x/a.jpg", "y/A.jpg"], {"l.csv": ["A.jpg"]}) == {"A.jpg": "y/A.jpg"}
    assert resolve(connection, ["x/a.jpg", "y/a.jpg"], {"l.csv": ["A.jpg"]}) == {"A.jpg": "ambiguous"}


def test_a_name_beside_its_file_or_in_the_images_beside_that(connection: duckdb.DuckDBPyConnection) -> None:
    samples = ["train/0.jpg", "test/0.jpg"]
    assert resolve(connection, samples, {"train/a.json": ["0.jpg"], "l.json": []}, ROOT) == {"0.jpg": "train/0.jpg"}
    samples = ["labels/proj/images/train/0.jpg", "labels/proj/images/val/0.jpg"]
    found = resolve(connection, samples, {"train/0.txt": ["0"]}, f"{ROOT}/labels/proj/labels")
    assert found == {"0": "labels/proj/images/train/0.jpg"}
    samples = ["images/a.jpg", "other/a.jpg"]
    assert resolve(connection, samples, {"ann/l.json": ["a.jpg"]}, ROOT) == {"a.jpg": "images/a.jpg"}
    assert resolve(connection, samples, {"ann/l.json": ["../other/a.jpg"]}, ROOT) == {"../other/a.jpg": "other/a.jpg"}


def test_a_word_of_the_files_name_tells_in_which_folder_to_look(connection: duckdb.DuckDBPyConnection) -> None:
    samples = ["train2017/0.jpg", "val2017/0.jpg"]
    assert resolve(connection, samples, {"instances_val2017.json": ["0.jpg"]}) == {"0.jpg": "val2017/0.jpg"}
    assert resolve(connection, samples, {"instances.json": ["0.jpg"]}) == {"0.jpg": "ambiguous"}


def test_several_samples_of_the_longest_tail_are_ambiguous_and_named(connection: duckdb.DuckDBPyConnection) -> None:
    samples = [f"{letter}/x/0.jpg" for letter in "abcde"]
    assert resolve(connection, samples, {"l.csv": ["/y/x/0.jpg", "b/x/0.jpg"]}) == {
        "/y/x/0.jpg": "ambiguous",
        "b/x/0.jpg": "b/x/0.jpg",
    }
    query = names.resolution("select * from asked_", "folders_", samples="select * from there_")
    shown = connection.execute(f"select candidates from ({query}) where reason = 'ambiguous'").fetchall()
    assert [sorted(one) for (one,) in shown] == [[samples[0], samples[-1]]]


def test_a_tail_counts_only_while_nothing_fits_its_sample_better(connection: duckdb.DuckDBPyConnection) -> None:
    # The samples of val have not arrived.
    asked = ["pics/a/0.jpg", "pics/b/0.jpg", "/old/pics/a/1.jpg"]
    assert resolve(connection, ["a/0.jpg", "a/1.jpg"], {"l.csv": asked}) == {
        "pics/a/0.jpg": "a/0.jpg",
        "pics/b/0.jpg": "no_sample",
        "/old/pics/a/1.jpg": "a/1.jpg",
    }
    asked = ["pics/a/0.jpg", "pics/b/0.jpg"]
    assert set(resolve(connection, ["0.jpg"], {"l.csv": asked}).values()) == {"ambiguous"}
    assert resolve(connection, ["0.jpg"], {"l.csv": ["0.jpg", "b/0.jpg"]}) == {"0.jpg": "0.jpg", "b/0.jpg": "no_sample"}
    assert resolve(connection, ["x/0.jpg"], {"l.csv": ["x/0.jpg"], "m.csv": ["/m1/x/0.jpg"]}) == {
        "x/0.jpg": "x/0.jpg",
        "/m1/x/0.jpg": "x/0.jpg",
    }


def test_what_names_another_split_is_another_image(connection: duckdb.DuckDBPyConnection) -> None:
    samples = ["train/0.jpg", "train/1.jpg"]
    assert resolve(connection, samples, {"l.csv": ["val/0.jpg", "pics/1.jpg"]}) == {
        "val/0.jpg": "no_sample",
        "pics/1.jpg": "train/1.jpg",
    }
    assert resolve(connection, ["0.jpg"], {"l.csv": ["test2017/0.jpg"]}, root="/d/train2017") == {
        "test2017/0.jpg": "no_sample"
    }


def test_other_names_of_an_image_stand_in_for_its_first(connection: duckdb.DuckDBPyConnection) -> None:
    found = resolve(connection, ["a/0.jpg", "a/1.jpg"], {"1.xml": [("none.jpg", "1")], "0.xml": [("0.jpg", "1")]})
    assert found == {"none.jpg": "a/1.jpg", "0.jpg": "a/0.jpg"}


@pytest.mark.parametrize(
    ("keys", "path"),
    [
        (["/ann/1", "//1", "0.jpg", "//0.jpg"], "1.jpg"),
        (["/ann/9", "//9", "0.jpg", "//0.jpg"], "0.jpg"),
        (["/ann/1", "1.jpg", "//1.jpg", "//1"], "1.jpg"),
        (["a/0.jpg", "//0.jpg"], "0.jpg"),
        (["/set/images/1", "/set/labels/1", "//1"], "1.jpg"),
        (["//2"], "sub/2.jpg"),
    ],
)
def test_names_count_in_the_order_of_their_file(
    connection: duckdb.DuckDBPyConnection, keys: list[str], path: str
) -> None:
    connection.register("images_", pa.table({"source": [0], "file": ["ann/1.xml"], "keys": [keys]}))
    samples = ["0.jpg", "1.jpg", "sub/2.jpg"]
    connection.register(
        "there_", pa.table({"sample_id": samples, "filepath": samples, "uri": [f"/d/{one}" for one in samples]})
    )
    connection.register("folders_", pa.table({"source": [0], "file": ["ann/1.xml"], "folder": ["/elsewhere"]}))
    query = names.resolution(names.OF_ANNOTATIONS.format(table="images_"), "folders_", samples="select * from there_")
    assert connection.execute(f"select name, sample_id from ({query})").fetchall() == [(keys[0], path)]


@pytest.mark.parametrize("prefix", ["", "C:\\old\\place\\"])
def test_names_are_found_among_many(connection: duckdb.DuckDBPyConnection, prefix: str) -> None:
    samples = [f"{number // 100:04}/{number % 100:02}.jpg" for number in range(20_000)]
    asked = [prefix + name.replace("/", "\\" if prefix else "/") for name in samples]
    found = resolve(connection, samples, {"l.csv": asked})
    assert [found[name] for name in asked] == samples
