"""Frames of videos are samples: added, changed, deleted, unchanged; a damaged video is a row with its reason."""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

import brain_assets as brain
from brain_assets.ingest import decode_pass
from brain_assets.resources.decoding.decoding_workers import Direct, Worker
from brain_assets.resources.errors import MissingError, Refused
from brain_assets.resources.limits import Limits
from brain_assets.resources.media import videos
from brain_assets.resources.media.media_source import open_source
from brain_assets.review.thumbnails import original
from tests import models
from tests.workshop import Workshop, encoded, picture, write_pictures

av = pytest.importorskip("av")
ASSETS = ("samples", "media", "embeddings", "exact_duplicates", "image_quality", "published")
FEW = ("samples", "media", "published")
EMBEDDED = ("samples", "media", "embeddings", "published")
SIZE = (64, 48)


def write_video(path: Path, seeds: Sequence[int], *, rate: int = 4, codec: str = "ffv1", form: str = "bgr0") -> Path:
    """Write a video that shows each picture for one second, without loss where the codec has none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as video:
        stream = video.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = *SIZE, form
        for seed in seeds:
            for _ in range(rate):
                video.mux(stream.encode(av.VideoFrame.from_image(picture(seed, SIZE))))
        video.mux(stream.encode(None))
    return path


def paths(workshop: Workshop) -> list[str]:
    return [row[0] for row in workshop.rows("select filepath from samples order by 1")]


def test_a_video_gives_the_tables_of_its_frames_in_a_folder(tmp_path: Path) -> None:
    video = write_video(tmp_path / "clips" / "clip.mkv", [1, 2, 1, 3])
    for second, seed in enumerate([1, 2, 1, 3]):
        path = tmp_path / "media" / f"{second}.bmp"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(encoded(picture(seed, SIZE), "BMP"))
        os.utime(path, ns=(video.stat().st_mtime_ns,) * 2)
    frames, files = Workshop(tmp_path / "frames", video), Workshop(tmp_path / "files", tmp_path / "media")
    frames.run(ASSETS)
    files.run(ASSETS)
    assert paths(frames) == [f"clip.mkv#t={second}.000" for second in range(4)]
    assert frames.wrong(ASSETS) == {}
    for query in (
        "select status, error, width, height, format, split, tags from samples order by filepath",
        "select image_quality.* exclude (sample_id) from image_quality join samples using (sample_id) order by filepath",
        "select vector from embeddings join samples using (sample_id) order by filepath",
        "select keep from exact_duplicates order by 1",
    ):
        assert repr(frames.rows(query)) == repr(files.rows(query))
    assert len(files.rows("from exact_duplicates")) == 2


def test_a_video_is_summed_up_from_its_frames(tmp_path: Path) -> None:
    media = tmp_path / "media"
    write_pictures(media, [90])
    write_video(media / "train" / "a.mkv", [1, 2, 1])
    write_video(media / "test" / "b.mkv", [1, 4])
    Workshop(tmp_path / "home", media, "clips", split_from="folder", frames=1.0).run()
    with brain.dataset("clips", home=str(tmp_path / "home")) as clips:
        of_test, of_train = clips.videos().project("video, frames, errors, seconds, splits").fetchall()
        assert of_test == ("test/b.mkv", 2, 0, 1.0, ["test"])
        assert of_train == ("train/a.mkv", 3, 0, 2.0, ["train"])
        scores = clips.where("split = 'train'").values("uniqueness")
        train = clips.where("split = 'train'").videos()
        [(mean, low, high)] = train.project("uniqueness, uniqueness_min, uniqueness_max").fetchall()
        assert (mean, low, high) == pytest.approx((sum(scores) / 3, min(scores), max(scores)))
        [(troubled, issues)] = train.project("frames_with_issues, issues").fetchall()
        # A frame of one is in the other, and twice there.
        assert (issues["leak"], max(issues.values()) <= troubled <= 3) == (2, True)
        assert clips.where("filepath = '00090.png'").videos().fetchall() == []


def test_only_what_changed_is_decoded(tmp_path: Path) -> None:
    media = tmp_path / "media"
    write_pictures(media, [90])
    write_video(media / "train" / "a.mkv", [1, 2])
    write_video(media / "test" / "b.mkv", [3, 4])
    workshop = Workshop(tmp_path / "home", media, select=EMBEDDED, split_from="folder", frames=1.0)
    workshop.run()
    assert workshop.rows("select filepath, split from samples order by 1") == [
        ("00090.png", None), ("test/b.mkv#t=0.000", "test"), ("test/b.mkv#t=1.000", "test"),
        ("train/a.mkv#t=0.000", "train"), ("train/a.mkv#t=1.000", "train"),
    ]  # fmt: skip
    reports = workshop.run()
    assert {name for name, report in reports.items() if report.counts.total} == set()

    models.EMBEDDED.clear()
    (media / "train" / "a.mkv").rename(media / "train" / "moved.mkv")
    os.utime(media / "test" / "b.mkv")
    assert workshop.run()["media"].notes["decoded"] == 0
    write_video(media / "test" / "b.mkv", [5, 6, 7])
    assert workshop.run()["media"].notes["decoded"] == 3
    assert sum(models.EMBEDDED) == 3
    (media / "test" / "b.mkv").unlink()
    workshop.run()
    assert paths(workshop) == ["00090.png", "train/moved.mkv#t=0.000", "train/moved.mkv#t=1.000"]
    settings = {"media": str(media), "embeddings": {"model": "python:tests.models:Pixels"}}
    workshop.declare(**settings, frames=0.5)
    assert workshop.run()["media"].notes["decoded"] == 2
    workshop.declare(**settings)
    workshop.run()
    # Without frames a video is no sample; it is counted among the other files.
    assert paths(workshop) == ["00090.png"]


@pytest.mark.parametrize(
    ("name", "codec", "form"),
    [("a.mp4", "libx264", "yuv420p"), ("a.avi", "mjpeg", "yuvj420p"), ("a.webm", "libvpx-vp9", "yuv420p"),
     ("a.mov", "png", "rgb24")],
)  # fmt: skip
def test_containers_and_codecs(tmp_path: Path, name: str, codec: str, form: str) -> None:
    path = str(write_video(tmp_path / name, [1, 2, 3], rate=10, codec=codec, form=form))
    found = videos.list_frames(path, 0.5)
    assert found.error is None
    names = [member.name for member in found.members]
    assert names == ["0.000", "0.500", "1.000", "1.500", "2.000", "2.500"]
    decoded = {name: (key, data) for name, key, data in videos.read_frames(path, names)}
    assert {name: key for name, (key, _) in decoded.items()} == {one.name: one.content_hash for one in found.members}
    assert all(isinstance(data, bytes) for _, data in decoded.values())
    assert decoded["0.000"][1] != decoded["1.000"][1]
    assert videos.read_frame(path, "1.500") == decoded["1.500"][1]


def test_key_frames(tmp_path: Path) -> None:
    path = str(write_video(tmp_path / "a.mp4", range(4), rate=10, codec="libx264", form="yuv420p"))
    found = [member.name for member in videos.list_frames(path, videos.KEY_FRAMES).members]
    assert "0.000" in found
    assert 0 < len(found) < 40


def test_damaged_videos_are_rows_with_a_reason(tmp_path: Path) -> None:
    media = tmp_path / "media"
    good = write_video(media / "good.mkv", range(5)).read_bytes()
    (media / "empty.mp4").write_bytes(b"")
    (media / "text.mp4").write_bytes(b"no video at all" * 50)
    (media / "cut.mkv").write_bytes(good[: len(good) // 2])
    (media / "image.avi").write_bytes(encoded(picture(1)))
    hole = bytearray(good)
    hole[len(good) // 3 : len(good) // 2] = bytes(len(good) // 2 - len(good) // 3)
    (media / "hole.mkv").write_bytes(hole)
    workshop = Workshop(tmp_path / "home", media, frames=1)
    workshop.run(FEW)
    rows = workshop.rows("select filepath, status, error from samples order by 1")
    found = {path: (status, error) for path, status, error in rows}
    assert found["empty.mp4"][1].startswith("damaged: ")
    assert found["text.mp4"][1].startswith("damaged: ")
    assert {status for path, (status, _) in found.items() if path.startswith("good")} == {"ok"}
    assert found["cut.mkv"][1].startswith(f"truncated: the file has {len(good) // 2} of the {len(good)} bytes")
    assert found["cut.mkv#t=0.000"] == found["hole.mkv#t=0.000"] == ("ok", None)
    assert str(tmp_path) not in repr(rows)
    assert {name for name, report in workshop.run(FEW).items() if report.counts.total} == set()
    assert workshop.wrong(FEW) == {}


@pytest.mark.parametrize(("name", "codec", "form"), [("a.mp4", "libx264", "yuv420p"), ("a.avi", "mjpeg", "yuvj420p"),
    ("a.webm", "libvpx-vp9", "yuv420p"), ("a.mkv", "ffv1", "bgr0"), ("a.mov", "png", "rgb24")])  # fmt: skip
@pytest.mark.parametrize("share", [0.5, 0.95])
def test_a_video_that_was_cut_is_never_taken_for_a_shorter_one(
    tmp_path: Path, name: str, codec: str, form: str, share: float
) -> None:
    path = write_video(tmp_path / name, range(3), rate=10, codec=codec, form=form)
    assert videos.list_frames(str(path), 0.5).error is None
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    error = videos.list_frames(str(path), 0.5).error or ""
    assert error.startswith(("truncated: the file has ", "damaged: "))


@pytest.mark.parametrize(
    ("times", "told"),
    [((0, 0, 0, 0), "3 of 4 frames"), ((0, 1, 2, 10**9), "days apart"), ((0, 1, 2, 4), None), ((0,), None)],
)
def test_times_that_no_video_has_are_told(times: tuple[float, ...], told: str | None) -> None:
    found = videos._odd_times([(float(seconds), True, 1) for seconds in times])
    assert (found is None) == (told is None)
    assert (told or "") in (found or "")


def test_a_frame_that_cannot_be_decoded_is_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    video = write_video(tmp_path / "clip.mkv", [1, 2])
    workshop = Workshop(tmp_path / "home", video)
    results = videos._results

    def without_the_last(begin: object, limits: Limits) -> object:
        found = list(results(begin, limits))
        return found[:-1] if isinstance(found[0][1], bytes) else found

    monkeypatch.setattr(videos, "_results", without_the_last)
    workshop.run(FEW)
    assert workshop.rows("select filepath, error from samples order by 1") == [
        ("clip.mkv#t=0.000", None),
        ("clip.mkv#t=1.000", "damaged: this frame of the video cannot be decoded"),
    ]
    assert {name for name, report in workshop.run(FEW).items() if report.counts.total} == set()


def test_frames_that_are_too_large_to_wait_together_are_read_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decode_pass, "LARGE_FILE", 100)
    workshop = Workshop(tmp_path / "home", write_video(tmp_path / "clip.mkv", [1, 2]))
    workshop.run(FEW)
    assert workshop.rows("select distinct status, error from samples") == [("ok", None)]


def test_a_decoder_that_crashes_or_hangs_ends_its_process_only() -> None:
    limits = Limits(seconds=1.0)
    for call, reason in ((os.abort, "crashed"), (_hang, "timeout")):
        worker = Worker(limits, ())
        with pytest.raises(Refused, match=reason):
            worker.run(Direct(call), b"", 0)
        worker.stop()


def _hang(*_: object) -> None:
    while True:
        pass


def _eat(*_: object) -> None:
    bytearray(1 << 30)


def _abort(*_: object) -> None:
    os.abort()


def test_a_crash_in_a_video_is_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    video = write_video(tmp_path / "clip.mkv", [1])
    monkeypatch.setattr(videos, "_call", _abort)
    found = videos.list_frames(str(video), 1.0)
    assert found.members == []
    assert found.error.startswith("crashed: the decoder ended its process")


@pytest.mark.parametrize(
    ("call", "setting", "reason"),
    [(_hang, {"timeout": 0.5}, "timeout: decoding took longer than 0.5 s of processor time (decoding.timeout)"),
     (_eat, {"max_memory": 1 << 29}, "memory: decoding needs more memory than allowed")],
)  # fmt: skip
def test_what_decoding_may_cost_holds_for_videos(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: object, setting: dict[str, float], reason: str
) -> None:
    workshop = Workshop(tmp_path / "home", write_video(tmp_path / "clip.mkv", [1]), decoding=setting)
    with monkeypatch.context() as patch:
        patch.setattr(videos, "_call", call)
        workshop.run(FEW)
    assert workshop.rows("select filepath, error from samples") == [("clip.mkv", reason)]


def test_the_review_page_shows_a_frame(tmp_path: Path) -> None:
    video = write_video(tmp_path / "clips" / "clip.mkv", [1, 2])
    write_video(tmp_path / "secret.mkv", [3])
    for media in (video, video.parent):
        workshop = Workshop(tmp_path / f"home-{media.name}", media, frames=1)
        with Image.open(original(workshop.paths, "clip.mkv#t=1.000")) as shown:
            assert shown.convert("RGB").tobytes() == picture(2, SIZE).tobytes()
        assert original(workshop.paths, "../secret.mkv#t=0.000") is None
        assert original(workshop.paths, "clip.mkv#t=9.000") is None


def test_a_missing_library_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "clip.mp4").touch()
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(MissingError, match=r"pip install 'brain-assets\[video\]'"):
        open_source(str(tmp_path / "clip.mp4")).list()
