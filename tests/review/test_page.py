"""What the endpoints answer, over a published set whose truth is known."""

import csv
import datetime as dt
import io
import json
import threading
import time
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from brain_assets.resources.store.previews import PreviewPack
from brain_assets.review import create_app
from brain_assets.review.thumbnails import AT_ONCE, Pictures
from tests.review.client import TOKEN, Client
from tests.review_data import STARTED, Synthetic, declare, new_set, point_current


def by_position(synthetic: Synthetic) -> list[int]:
    """Return the index in the synthetic tables of the sample at each position."""
    return sorted(range(synthetic.count), key=lambda index: synthetic.ids[index])


# -- what there is


def test_overview_names_what_can_be_shown(reader: Client, synthetic: Synthetic) -> None:
    overview = reader.get("overview").json()
    assert (overview["dataset"], overview["version"]) == ("demo", "000001")
    assert {name: frame["count"] for name, frame in overview["frames"].items()} == {"images": 300, "objects": 240}
    assert overview["frames"]["images"]["maps"] == ["visualization"]
    assert overview["frames"]["objects"]["maps"] == ["object_map"]
    issues = {row["issue"]: row["count"] for row in overview["issues"]}
    assert issues["label_mistake"] == len(synthetic.wrong)
    assert issues.keys() <= overview["words"].keys()
    assert overview["words"]["leak"]["title"] == "Leaks between splits"
    assert {name for name, said in overview["words"].items() if said["relabels"]} == {"label_mistake", "missing_label"}
    assert issues["near_duplicate"] == 38
    assert [(row["table"], row["groups"]) for row in overview["groups"]] == [
        ("exact_duplicates", 2),
        ("near_duplicates", 20),
    ]
    assert [row["run_id"] for row in overview["runs"]] == ["run-two", "run-one"]


@pytest.mark.parametrize(
    "missing", ["issues", "objects", "neighbors", "visualization", "ground_truth", "tags", "runs", "health"]
)
def test_a_signal_is_shown_only_when_its_table_exists(tmp_path: Path, missing: str) -> None:
    synthetic = Synthetic(tmp_path, count=80)
    declare(synthetic.publish(without=(missing,)).parent.parent.parent, tmp_path)
    client = Client(create_app(tmp_path, token=TOKEN)).sign_in()
    overview = client.get("overview")
    assert overview.status == 200
    assert missing not in overview.json()["tables"]
    for name, frame in overview.json()["frames"].items():
        for column in frame["columns"]:
            assert client.get("column", name=column["name"], frame=name).status == 200
        assert client.post("rows", {"positions": [0, 5], "frame": name}).status == 200
    assert client.get("subject", id=synthetic.ids[0]).status == 200


def test_the_barest_set_is_shown(tmp_path: Path) -> None:
    folder = tmp_path / "datasets" / "demo"
    published = new_set(folder, "000001")
    pq.write_table(pa.table({"sample_id": ["b", "a"], "filepath": ["x/b.jpg", "a.jpg"]}), published / "samples.parquet")
    point_current(published)
    declare(folder, tmp_path)
    client = Client(create_app(tmp_path, token=TOKEN)).sign_in()
    assert client.get("overview").json()["frames"]["images"]["count"] == 2
    assert [row["filepath"] for row in client.post("rows", {"positions": [0, 1]}).json()] == ["a.jpg", "x/b.jpg"]
    assert client.found(text="x/") == [1]


def test_an_empty_set_is_shown(tmp_path: Path) -> None:
    synthetic = Synthetic(tmp_path, count=80)
    published = synthetic.publish()
    declare(synthetic.folder, tmp_path)
    for path in published.glob("*.parquet"):
        pq.write_table(pq.read_table(path).slice(0, 0), path)
    client = Client(create_app(tmp_path, token=TOKEN)).sign_in()
    overview = client.get("overview").json()
    assert overview["frames"]["images"]["count"] == 0
    assert client.column("split")[1]["codes"].tolist() == []
    assert client.column("file_tags")[1]["offsets"].tolist() == [0]
    assert client.found(where="true") == []
    assert client.post("say", {"kind": "keep", "bits": ""}).status == 422


# -- columns


def test_columns_hold_the_values_at_their_positions(reader: Client, synthetic: Synthetic) -> None:
    order = by_position(synthetic)
    header, arrays = reader.column("uniqueness")
    assert header["kind"] == "number"
    expected = [np.nan if i in synthetic.broken else synthetic.uniqueness_scores[i] for i in order]
    np.testing.assert_allclose(arrays["values"], expected, rtol=1e-6)
    header, arrays = reader.column("label")
    assert [header["values"][code] for code in arrays["codes"]] == [synthetic.given[i] for i in order]
    assert header["counts"] == sorted(header["counts"], reverse=True)
    header, arrays = reader.column("width")
    assert [None if np.isnan(value) else value for value in arrays["values"]] == [
        None if i in synthetic.broken else synthetic.sizes[i][0] for i in order
    ]
    header, arrays = reader.column("added_at")
    assert arrays["values"][0] == (STARTED + dt.timedelta(days=order[0] >= 240, seconds=order[0])).timestamp()
    header, arrays = reader.column("filepath")
    paths = [synthetic.files[i] for i in order]
    assert np.argsort(arrays["ranks"], kind="stable").tolist() == sorted(range(300), key=lambda at: paths[at].encode())


def test_lists_come_as_one_array_with_offsets(reader: Client, synthetic: Synthetic) -> None:
    header, arrays = reader.column("issues")
    found = [
        {header["values"][code] for code in arrays["codes"][start:end]}
        for start, end in zip(arrays["offsets"][:-1], arrays["offsets"][1:], strict=True)
    ]
    expected: dict[str, set[str]] = {}
    for row in pa.table(synthetic.issues()).to_pylist():
        if row["is_issue"] and row["object_id"] is None:
            expected.setdefault(row["sample_id"], set()).add(row["issue"])
    assert found == [expected.get(synthetic.ids[i], set()) for i in by_position(synthetic)]


def test_maps_leave_out_what_is_not_on_them(reader: Client, synthetic: Synthetic) -> None:
    _, arrays = reader.get("map", name="visualization").message()
    absent = {at for at, index in enumerate(by_position(synthetic)) if index in synthetic.broken}
    assert set(np.flatnonzero(np.isnan(arrays["x"]))) == absent
    _, arrays = reader.get("map", name="object_map", frame="objects").message()
    assert len(arrays["x"]) == 240
    assert not np.isnan(arrays["y"]).any()


def test_runs_of_one_method_have_columns_of_their_own(tmp_path: Path) -> None:
    synthetic = Synthetic(tmp_path, count=80)
    published = synthetic.publish()
    declare(synthetic.folder, tmp_path)
    table = pa.table(synthetic.uniqueness())
    other = table.set_column(0, "brain_key", pa.array(['it\'s "other"'] * len(table)))
    other = other.set_column(4, "uniqueness", pa.array([0.25] * len(table), pa.float32()))
    pq.write_table(pa.concat_tables([table, other]), published / "uniqueness.parquet")
    client = Client(create_app(tmp_path, token=TOKEN)).sign_in()
    names = [column["name"] for column in client.get("overview").json()["frames"]["images"]["columns"]]
    assert "uniqueness" in names
    assert 'uniqueness:it\'s "other"' in names
    assert np.nanmax(client.column('uniqueness:it\'s "other"')[1]["values"]) == 0.25
    assert len(client.found(where='"uniqueness:it\'s ""other""" = 0.25')) == 78


# -- finding


def test_where_sees_columns_tables_and_reviews(reader: Client, synthetic: Synthetic) -> None:
    order = by_position(synthetic)
    expected = [at for at, i in enumerate(order) if synthetic.splits[i] == "val" and synthetic.given[i] == "ant"]
    assert reader.found(where="split = 'val' and label = 'ant'") == expected
    assert len(reader.found(where="list_contains(issues, 'leak')")) == 60
    assert len(reader.found(where="sample_id in (select sample_id from near_duplicates where not keep)")) == 38
    assert len(reader.found(where="list_contains(tags, 'interesting')")) == 2
    assert len(reader.found(where="source = 'detector'", frame="objects")) == 120
    assert reader.found(where="-- nothing but a comment\n split = 'val' and label = 'ant' -- again") == expected


def test_text_is_found_in_paths_labels_and_tags_in_either_case(reader: Client, synthetic: Synthetic) -> None:
    order = by_position(synthetic)
    assert reader.found(text="ANT-00") == [at for at, i in enumerate(order) if "ant-00" in synthetic.files[i]]
    assert [order[at] for at in reader.found(text="<script>")] == [200]
    assert sorted(order[at] for at in reader.found(text="interest")) == [10, 11]
    assert reader.found(text="%") == []
    assert reader.found(text="interest", where="label = 'nothing'") == []


# -- one subject


def test_a_subject_is_told_with_its_reasons_and_partners(reader: Client, synthetic: Synthetic) -> None:
    subject = reader.get("subject", id=synthetic.ids[50]).json()
    assert subject["filepath"] == synthetic.files[50]
    assert sorted(row["issue"] for row in subject["issue_rows"]) == ["leak", "leak", "near_duplicate"]
    scores = [row["score"] for row in subject["issue_rows"]]
    assert scores == sorted(scores, reverse=True)
    near = next(row for row in subject["issue_rows"] if row["issue"] == "near_duplicate")
    assert near["evidence"]["partner"] == synthetic.ids[48]
    assert near["reason"].startswith(f"a copy of {synthetic.files[48]}")
    assert subject["partners"][synthetic.ids[48]]["filepath"] == synthetic.files[48]
    assert len(subject["neighbors"]) == 20
    assert subject["neighbors"][0]["neighbor_id"] in {synthetic.ids[48], synthetic.ids[49]}
    assert sum(row["count"] for row in subject["neighbor_labels"]) <= 20
    signals = {row["name"]: row for row in subject["signals"]}
    scores = synthetic.uniqueness_scores[synthetic.good]
    assert signals["uniqueness"]["below"] == pytest.approx((scores < scores[50]).mean())
    assert signals["split"]["value"] == synthetic.splits[50]


def test_an_object_is_shown_in_its_image(reader: Client, synthetic: Synthetic) -> None:
    flagged = next(row for row in pa.table(synthetic.issues()).to_pylist() if row["object_id"])
    subject = reader.get("subject", id=flagged["object_id"]).json()
    assert (subject["frame"], subject["sample_id"]) == ("objects", flagged["sample_id"])
    assert [row["issue"] for row in subject["issue_rows"]] == ["spurious_object"]
    assert len(subject["boxes"]) == 4
    image = reader.get("subject", id=flagged["sample_id"]).json()
    assert "spurious_object" in [row["issue"] for row in image["issue_rows"]]


@pytest.mark.parametrize(
    "evidence", ["", "not json", "[1, 2]", '"word"', "null", '{"score": NaN}', '{"a": {"b": [1]}}']
)
def test_odd_evidence_is_shown_as_it_is(small: Synthetic, evidence: str) -> None:
    path = small.folder / "published" / "current" / "issues.parquet"
    table = pq.read_table(path)
    pq.write_table(
        table.set_column(table.schema.get_field_index("evidence"), "evidence", pa.array([evidence] * len(table))), path
    )
    client = Client(create_app(small.home, token=TOKEN)).sign_in()
    assert client.get("subject", id=small.ids[2]).status == 200
    assert client.get("queue", issue="leak").json()["total"] == 60


def test_rows_come_in_the_order_asked_and_strangers_are_left_out(reader: Client) -> None:
    rows = reader.post("rows", {"positions": [7, 3, 100_000, 3]}).json()
    assert [row["position"] for row in rows] == [7, 3, 3]


# -- queues, groups, news


def test_a_queue_is_most_severe_first_and_shrinks(client: Client, small: Synthetic) -> None:
    queue = client.get("queue", issue="label_mistake").json()
    scores = [item["score"] for item in queue["items"]]
    assert scores == sorted(scores, reverse=True)
    suggested = queue["items"][0]["evidence"]["suggested"][0]
    assert suggested in small.labels
    assert f"“{suggested}”" in queue["items"][0]["reason"]
    first, second = (item["subject_id"] for item in queue["items"][:2])
    assert client.post("say", {"kind": "keep", "ids": [first], "issue": "label_mistake"}).status == 200
    assert client.post("say", {"kind": "keep", "ids": [second], "issue": "outlier"}).status == 200
    queue = client.get("queue", issue="label_mistake").json()
    assert (queue["total"], queue["remaining"]) == (3, 2)
    assert first not in [item["subject_id"] for item in queue["items"]]
    assert len(client.get("queue", issue="label_mistake", reviewed=True).json()["items"]) == 3


def test_a_decision_is_asked_again_when_the_content_changes(client: Client, small: Synthetic) -> None:
    first = client.get("queue", issue="label_mistake").json()["items"][0]["subject_id"]
    client.post("say", {"kind": "keep", "ids": [first], "issue": "label_mistake"})
    changed = Synthetic(small.home, count=100)
    changed.contents[small.ids.index(first)] = "another content"
    changed.publish("000002")
    items = client.get("queue", issue="label_mistake").json()["items"]
    assert first in [item["subject_id"] for item in items]
    assert items[0]["subject"].get("decided", {}) == {}


def test_whoever_is_dropped_leaves_every_queue(client: Client, small: Synthetic) -> None:
    client.post("say", {"kind": "drop", "ids": [small.ids[2]]})
    assert small.ids[2] not in [item["subject_id"] for item in client.get("queue", issue="leak").json()["items"]]


def test_groups_show_the_keeper_first(reader: Client, synthetic: Synthetic) -> None:
    found = reader.get("groups", table="near_duplicates", brain_key="near_duplicates").json()
    assert found["total"] == 20
    sizes = [len(group["members"]) for group in found["groups"]]
    assert sizes == sorted(sizes, reverse=True)
    for group in found["groups"]:
        assert [member["keep"] for member in group["members"]] == [True] + [False] * (len(group["members"]) - 1)
        assert group["members"][0]["subject_id"] == group["group_id"]
    found = reader.get("groups", table="exact_duplicates", brain_key="exact_duplicates").json()
    assert {len(group["members"]) for group in found["groups"]} == {2}


def test_news_between_runs(reader: Client, synthetic: Synthetic) -> None:
    news = reader.get("news", before="run-one", after="run-two").json()
    assert (news["added"], news["changed"]) == (60, 0)
    late = set(synthetic.ids[240:])
    issues = {
        row["issue"] for row in pa.table(synthetic.issues()).to_pylist() if row["sample_id"] in late and row["is_issue"]
    }
    assert {row["issue"] for row in news["issues"]} == issues
    metrics = {row["metric"]: row for row in news["metrics"]}
    assert (metrics["samples"]["before"], metrics["samples"]["after"]) == (240, 300)
    assert reader.get("news", before="run-one", after="nothing").status == 404
    assert reader.get("news", before="beginning", after="run-two").json()["added"] == 300


# -- saying


def test_tags_by_ids_by_bits_and_taken_back(client: Client, small: Synthetic) -> None:
    reply = client.post("say", {"kind": "tag", "value": "  odd \n one ", "ids": small.ids[:3], "by": "ada"}).json()
    assert reply["count"] == 3
    bits = {"kind": "tag", "value": "all", "bits": b64encode(b"\xff" * 12 + b"\x0f").decode()}
    assert client.post("say", bits).json()["count"] == 100
    header, arrays = client.column("tags")
    assert set(header["values"]) == {"all", "odd one", "interesting"}
    assert len(arrays["codes"]) == 105
    assert client.post("undo", {}).status == 200
    client.post("say", {"kind": "untag", "value": "interesting", "ids": [small.ids[10]]})
    header, arrays = client.column("tags")
    assert dict(zip(header["values"], header["counts"], strict=True)) == {"odd one": 3, "interesting": 1}
    assert client.found(where="list_contains(tags, 'odd one')") == sorted(
        at for at, i in enumerate(by_position(small)) if i < 3
    )


def test_decisions_are_shown_at_once(client: Client, small: Synthetic) -> None:
    client.post("say", {"kind": "drop", "ids": [small.ids[0]], "by": "ada"})
    event = client.post("say", {"kind": "relabel", "value": "yak", "ids": [small.ids[0]]}).json()["event_id"]
    subject = client.get("subject", id=small.ids[0]).json()
    assert (subject["decided"]["fate"]["kind"], subject["decided"]["fate"]["by"]) == ("drop", "ada")
    assert subject["decided"]["label"]["value"] == "yak"
    assert len(subject["history"]) == 2
    client.post("undo", {"event_id": event})
    assert "label" not in client.get("subject", id=small.ids[0]).json()["decided"]
    assert client.post("undo", {"event_id": event}).status == 409


@pytest.mark.parametrize(
    "said",
    [
        {"kind": "tag", "ids": ["x"]},
        {"kind": "tag", "value": "   ", "ids": ["x"]},
        {"kind": "keep", "value": "x", "ids": ["x"]},
        {"kind": "explode", "ids": ["x"]},
        {"kind": "keep"},
        {"kind": "keep", "ids": []},
        {"kind": "keep", "ids": ["unknown"]},
        {"kind": "keep", "bits": "AA=="},
        {"kind": "keep", "ids": ["x"], "frame": "nothing"},
        {"kind": "tag", "value": "x" * 2000, "ids": ["x"]},
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused(client: Client, small: Synthetic, said: dict[str, Any]) -> None:
    reply = client.post("say", said)
    assert reply.status in (404, 422)
    assert reply.json()["error"]
    assert not (small.folder / "review").exists()


def test_what_a_model_found_keeps_its_label(client: Client, small: Synthetic) -> None:
    ids = {row["source"]: row["object_id"] for row in small.object_rows}
    said = {"kind": "relabel", "value": "yak", "frame": "objects"}
    assert client.post("say", said | {"ids": [ids["ground_truth"]]}).status == 200
    refused = client.post("say", said | {"ids": list(ids.values())})
    assert (refused.status, refused.json()) == (422, {"error": "only labels can be changed, not what a model found"})
    assert client.post("say", {"kind": "drop", "frame": "objects", "ids": [ids["detector"]]}).status == 200


def test_a_selection_is_taken_along_as_a_file(client: Client, small: Synthetic) -> None:
    chosen = [small.ids[3], small.ids[0]]
    client.post("say", {"kind": "tag", "value": "odd", "ids": chosen[:1]})
    table = list(csv.DictReader(io.StringIO(client.post("take", {"ids": chosen, "form": "csv"}).body.decode())))
    assert {row["sample_id"] for row in table} == {*chosen}
    assert {row["sample_id"]: row["tags"] for row in table}[chosen[0]] == "odd"
    assert [row["filepath"] for row in table] == sorted(row["filepath"] for row in table)
    paths = client.post("take", {"ids": chosen, "form": "paths"}).body.decode()
    assert paths.splitlines() == [row["filepath"] for row in table]
    tree = client.post("take", {"ids": small.ids, "form": "coco"}).json()
    assert len(tree["images"]) == small.count
    (drawn, *_) = tree["annotations"]
    assert {"id", "image_id", "category_id", "bbox", "area", "iscrowd"} <= drawn.keys()
    objects = client.found(frame="objects", where="source = 'ground_truth'")
    assert len(tree["annotations"]) == len(objects) > 0
    some = [row["subject_id"] for row in client.post("rows", {"frame": "objects", "positions": [*range(8)]}).json()]
    boxes = client.post("take", {"frame": "objects", "ids": some, "form": "csv"}).body.decode().splitlines()
    assert boxes[0].startswith("object_id,sample_id,filepath,label,source,confidence,x,y,width,height")
    assert len(boxes) == 9
    assert client.post("take", {"ids": [], "form": "csv"}).status == 422


def test_views_are_saved_and_forgotten(client: Client) -> None:
    state = {"filters": {"label": ["ant"]}, "colour": "split"}
    assert client.post("save-view", {"name": "ants", "state": state, "by": "ada"}).status == 200
    assert [(view["name"], view["state"], view["by"]) for view in client.get("views").json()] == [
        ("ants", state, "ada")
    ]
    assert client.post("save-view", {"name": "ants"}).json() == []
    assert client.post("save-view", {"name": ""}).status == 422


def test_a_version_that_is_gone_asks_for_a_reload(client: Client) -> None:
    reply = client.get("overview", version="999999")
    assert reply.status == 410
    assert "reload" in reply.json()["error"]


# -- pictures


def size_of(client: Client, target: str) -> tuple[int, int]:
    reply = client.request("GET", target)
    assert (reply.status, reply.headers["content-type"]) == (200, "image/jpeg")
    return Image.open(io.BytesIO(reply.body)).size


def test_pictures_of_images_and_crops(reader: Client, synthetic: Synthetic) -> None:
    assert size_of(reader, f"/image/demo/{synthetic.ids[5]}") == synthetic.sizes[5]
    row = synthetic.object_rows[0]
    width, height = size_of(reader, f"/image/demo/{row['sample_id']}?object={row['object_id']}")
    whole = synthetic.sizes[60]
    assert width < whole[0]
    assert height < whole[1]
    assert reader.request("GET", f"/image/demo/{synthetic.ids[5]}?object={row['object_id']}").status == 404
    assert reader.request("GET", f"/image/demo/{synthetic.ids[synthetic.broken[0]]}").status == 404
    assert reader.request("GET", f"/image/demo/{synthetic.ids[5]}?size=huge").status == 422


def test_a_picture_is_not_sent_twice(reader: Client, synthetic: Synthetic) -> None:
    reply = reader.request("GET", f"/image/demo/{synthetic.ids[5]}?content=x")
    assert "max-age" in reply.headers["cache-control"]
    again = reader.request("GET", f"/image/demo/{synthetic.ids[5]}?content=x", if_none_match=reply.headers["etag"])
    assert (again.status, again.body) == (304, b"")


def photo(path: Path, size: tuple[int, int], mode: str = "RGB", **options: Any) -> None:
    Image.new(mode, size).save(path, **options)


def test_odd_originals_become_pictures(small: Synthetic) -> None:
    exif = Image.Exif()
    exif[274] = 6
    files = [small.media / name for name in small.files]
    photo(files[10], (400, 200), format="JPEG", exif=exif)
    photo(files[11], (50, 40), "RGBA", format="PNG")
    photo(files[12], (50, 40), "I;16", format="PNG")
    photo(files[13], (50, 40), "P", format="GIF")
    photo(files[14], (50, 40), "CMYK", format="JPEG")
    photo(files[15], (3000, 20), "1", format="PNG")
    files[16].write_bytes(files[16].read_bytes()[:300])
    files[17].unlink()
    client = Client(create_app(small.home, token=TOKEN)).sign_in()
    target = "/image/demo/{}"
    assert size_of(client, target.format(small.ids[10])) == (128, 256)
    for index in (11, 12, 13, 14):
        assert size_of(client, target.format(small.ids[index])) == (50, 40)
    assert size_of(client, target.format(small.ids[15])) == (256, 2)
    assert [client.request("GET", target.format(small.ids[index])).status for index in (16, 17)] == [404, 404]


@pytest.fixture
def previewed(small: Synthetic) -> Client:
    """A dataset whose originals are gone, with a preview of the first sample."""
    jpeg = (small.media / small.files[0]).read_bytes()
    with PreviewPack(small.folder / "previews.pack") as pack:
        offset, length = pack.append(jpeg)
    addresses = {
        "content_hash": [small.contents[i] for i in (0, 2, 5)],
        "preview_offset": [offset, 10**9, offset],
        "preview_length": [length, 5, length],
        "pack": ["previews.pack", "previews.pack", "../demo/previews.pack"],
    }
    pq.write_table(pa.table(addresses), small.folder / "published" / "current" / "previews.parquet")
    for file in small.files:
        (small.media / file).unlink()
    return Client(create_app(small.home, token=TOKEN)).sign_in()


def test_previews_stand_in_for_originals_that_are_gone(previewed: Client, small: Synthetic) -> None:
    assert size_of(previewed, f"/image/demo/{small.ids[0]}") == small.sizes[0]
    assert size_of(previewed, f"/image/demo/{small.ids[1]}?size=large") == small.sizes[0]
    for index in (2, 5, 6):
        assert previewed.request("GET", f"/image/demo/{small.ids[index]}").status == 404


def test_the_last_pictures_are_kept_within_bounds(monkeypatch: pytest.MonkeyPatch, small: Synthetic) -> None:
    from brain_assets.resources.settings.home import Home
    from brain_assets.review.sets import Sets

    monkeypatch.setattr("brain_assets.review.thumbnails.CACHE_BYTES", 5000)
    pictures, sets = Pictures(), Sets(Home(small.home))
    with sets.use("demo") as opened:
        first = pictures.picture(opened, small.ids[5], "thumb")
        assert pictures.picture(opened, small.ids[5], "thumb") is first
        for index in range(6, 30):
            pictures.picture(opened, small.ids[index], "thumb")
        assert pictures.cached_bytes <= 5000
        assert pictures.cached_bytes == sum(len(picture.encoded) for picture in pictures.cache.values())
    sets.close()


def test_originals_are_decoded_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch, small: Synthetic) -> None:
    from brain_assets.resources.decoding.decoding import Decoder
    from brain_assets.resources.settings.home import Home
    from brain_assets.review.sets import Sets

    decode, lock, now, most = Decoder.decode, threading.Lock(), 0, 0

    def counted(decoder: Decoder, jobs: Any) -> Any:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.05)
        rows = list(decode(decoder, jobs))
        with lock:
            now -= 1
        return rows

    monkeypatch.setattr(Decoder, "decode", counted)
    pictures, sets = Pictures(), Sets(Home(small.home))
    with sets.use("demo") as opened, ThreadPoolExecutor(12) as pool:
        found = list(pool.map(lambda index: pictures.picture(opened, small.ids[index], "large"), range(5, 17)))
    assert len(found) == 12
    assert most == AT_ONCE
    pictures.close()
    sets.close()


def test_originals_are_held_to_the_limits_of_their_dataset(small: Synthetic) -> None:
    photo(small.media / small.files[10], (600, 500), format="JPEG")
    config = small.folder / "dataset.yaml"
    config.write_text(f"{config.read_text()}\ndecoding: {{max_pixels: 200000}}\n")
    client = Client(create_app(small.home, token=TOKEN)).sign_in()
    reply = client.request("GET", f"/image/demo/{small.ids[10]}?size=large")
    assert reply.status == 404
    assert "decoding.max_pixels" in reply.json()["error"]
    assert client.request("GET", f"/image/demo/{small.ids[11]}?size=large").status == 200


def test_answers_hold_no_numbers_that_json_cannot(reader: Client, synthetic: Synthetic) -> None:
    body = reader.get("subject", id=synthetic.ids[0]).body

    def refuse(word: str) -> None:
        raise AssertionError(word)

    json.loads(body, parse_constant=refuse)


def test_full_pictures_are_the_pixels_of_the_original(reader: Client, synthetic: Synthetic) -> None:
    reply = reader.request("GET", f"/image/demo/{synthetic.ids[70]}?size=full")
    assert (reply.status, reply.headers["content-type"]) == (200, "image/png")
    original = Image.open(synthetic.media / synthetic.files[70]).convert("RGB")
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(reply.body))), np.asarray(original))


# -- the first screen


def published_issues(home: Path, rows: list[dict[str, Any]], **tables: dict[str, Any]) -> Client:
    """Publish a small set with these issues and other tables instead of its own."""
    synthetic = Synthetic(home, count=200)
    folder = synthetic.publish(without=("issues",))
    pq.write_table(pa.Table.from_pylist(rows), folder / "issues.parquet")
    for name, columns in tables.items():
        pq.write_table(pa.table(columns), folder / f"{name}.parquet")
    declare(synthetic.folder, home)
    return Client(create_app(home, token=TOKEN)).sign_in()


def flagged(
    synthetic: Synthetic, issue: str, count: int, score: float, *, is_issue: bool = True
) -> list[dict[str, Any]]:
    return [
        {
            "sample_id": synthetic.ids[i], "object_id": None, "issue": issue, "source": issue, "score": score,
            "is_issue": is_issue, "evidence": "{}", "probability": None, "run_id": "run-two",
        }
        for i in range(count)
    ]  # fmt: skip


def test_what_may_be_meant_never_comes_before_mistakes_and_leaks(tmp_path: Path) -> None:
    synthetic = Synthetic(tmp_path / "other", count=200)
    rows = [
        *flagged(synthetic, "grayscale", 190, 1.0),
        *flagged(synthetic, "label_mistake", 40, 0.6),
        *flagged(synthetic, "label_mistake", 60, 0.5, is_issue=False)[40:],
        *flagged(synthetic, "leak", 12, 0.9),
        *flagged(synthetic, "outlier", 20, 0.9),
    ]
    expected = {
        "issue": ["label_mistake"],
        "label": [None],
        "flagged": [40],
        "expected": [25.0],
        "low": [20.0],
        "high": [29.0],
    }
    client = published_issues(tmp_path, rows, expected_issues=expected)
    found = client.get("first").json()
    assert [row["issue"] for row in found["issues"]] == ["label_mistake", "leak", "outlier", "grayscale"]
    first = found["issues"][0]
    assert {name: first[name] for name in ("count", "below", "left", "expected", "low", "notice")} == {
        "count": 40, "below": 20, "left": 40, "expected": 25, "low": 20, "notice": False,
    }  # fmt: skip
    assert found["issues"][2]["rule"] == "taking 1 in 4 for true until some are reviewed"
    assert found["issues"][3]["notice"]
    assert [card["subject_id"] for card in found["worst"]["leak"]] == sorted(synthetic.ids[:12])[:4]
    # One count everywhere.
    assert client.get("overview").json()["issues"] == found["issues"]
    queue = client.get("queue", issue="label_mistake").json()
    assert (queue["total"], queue["remaining"], queue["below"], len(queue["items"])) == (40, 40, 20, 40)
    under = client.get("queue", issue="label_mistake", below=True).json()
    assert (under["total"], under["below"], {item["is_issue"] for item in under["items"]}) == (20, 20, {False})
    # What a subject's issues amount to is one number, too.
    _, arrays = client.column("expected_problems")
    likely = dict(zip(sorted(synthetic.ids), arrays["values"], strict=True))
    assert likely[synthetic.ids[0]] == pytest.approx(0.1 + 0.5 + 1 + 0.25)
    assert likely[synthetic.ids[100]] == pytest.approx(0.1)


def test_decisions_say_how_many_are_true(tmp_path: Path) -> None:
    synthetic = Synthetic(tmp_path / "other", count=200)
    client = published_issues(
        tmp_path, [*flagged(synthetic, "grayscale", 50, 1.0), *flagged(synthetic, "outlier", 60, 0.9)]
    )
    for kind, ids in (("drop", synthetic.ids[:20]), ("keep", synthetic.ids[20:24])):
        assert client.post("say", {"kind": kind, "issue": "grayscale", "ids": ids}).status == 200
    row = next(row for row in client.get("first").json()["issues"] if row["issue"] == "grayscale")
    # Twenty of 24, and four more of which a tenth is assumed.
    assert (row["left"], row["rule"], row["notice"]) == (26, "as 20 of 24 reviewed were true", False)
    assert row["expected"] == pytest.approx(26 * 20.4 / 28)
    # What was dropped needs no look at its other issues.
    assert next(row for row in client.get("first").json()["issues"] if row["issue"] == "outlier")["left"] == 40


def test_the_first_screen_tells_what_the_last_run_changed(reader: Client, synthetic: Synthetic) -> None:
    since = reader.get("first").json()["since"]
    assert (since["run"]["run_id"], since["added"]) == ("run-one", synthetic.count // 5)
