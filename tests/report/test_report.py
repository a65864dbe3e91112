"""What a report says is what is published; its page is whole, safe and bounded."""

import json
import os
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from brain_assets.report import findings, writing
from brain_assets.report.content import Report
from brain_assets.report.markup import VOID, element
from brain_assets.report.page import render
from brain_assets.report.tables import Tables
from brain_assets.report.thumbnails import thumbnails
from brain_assets.resources.errors import MissingError, StoreError
from brain_assets.resources.settings.configuration import load_dataset
from brain_assets.resources.settings.home import DatasetPaths
from brain_assets.resources.store import publishing
from brain_assets.signals.registry import ISSUES, issue_named
from tests.review.browser import launched, serious
from tests.review_data import HOSTILE, Synthetic
from tests.workshop import WHOLE, Workshop, encoded, picture, write_pictures


def built(folder: Path) -> Report:
    paths = DatasetPaths(folder)
    with writing._reading(paths, load_dataset(paths.config)) as (report, _):
        return report


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> Synthetic:
    return Synthetic(tmp_path_factory.mktemp("report"), hostile=True).create()


@pytest.fixture(scope="module")
def report(synthetic: Synthetic) -> Report:
    return built(synthetic.folder)


@pytest.fixture(scope="module")
def page(report: Report) -> str:
    return render(report, {}, "1.1")


class Elements(HTMLParser):
    """Every element and attribute of a page; complains where elements do not close in turn."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_the_numbers_are_those_of_the_tables(synthetic: Synthetic, report: Report) -> None:
    with publishing.connect(DatasetPaths(synthetic.folder).published) as connection:
        counts = dict(connection.execute("select issue, count(*) from issues where is_issue group by 1").fetchall())
        flagged = connection.execute("select count(distinct sample_id) from issues where is_issue").fetchall()[0][0]
        labelled = connection.execute(
            "select label[1], count(*) from (select labels as label from ground_truth) group by 1"
        )
        classes = {str(label): count for label, count in labelled.fetchall()}
    assert {issue.issue: issue.count for issue in report.issues} == counts | {"leak": report_leaks(synthetic)}
    assert (report.samples, report.flagged) == (synthetic.count, flagged)
    assert {row.label: row.count for row in report.classes} == classes
    assert dict(report.splits) == {split: synthetic.splits.count(split) for split in set(synthetic.splits)}
    assert [metric.value - (metric.before or 0) for metric in report.metrics if metric.name == "samples"] == [
        pytest.approx(60)
    ]


def report_leaks(synthetic: Synthetic) -> int:
    """Samples, not pairs."""
    return len(set(synthetic.leaks()["sample_id"]))


def test_issues_stand_in_the_order_in_which_to_look_at_them(report: Report) -> None:
    order = list(ISSUES)
    places = [order.index(issue.issue) for issue in report.issues]
    assert places == sorted(places)
    assert len(places) == 7


def test_the_worst_come_first_and_are_bounded(report: Report) -> None:
    for issue in report.issues:
        scores = [finding.score for finding in issue.findings]
        assert scores == sorted(scores, reverse=True)
        assert len(scores) <= findings.SHOWN
        assert len(issue.groups) <= findings.GROUPS


def test_a_label_mistake_is_told_in_words(report: Report, synthetic: Synthetic) -> None:
    (mistakes,) = [issue for issue in report.issues if issue.issue == "label_mistake"]
    right = {synthetic.ids[i]: synthetic.labels[synthetic.classes[i]] for i in synthetic.wrong}
    for finding in mistakes.findings:
        given = ", ".join(finding.subject.labels)
        assert (
            finding.reason == f"Labelled “{given}”, look-alikes bear “{right[finding.subject.subject_id]}” (93 % sure)."
        )


def test_groups_have_their_keeper_first_and_all_their_members(report: Report, synthetic: Synthetic) -> None:
    (near,) = [issue for issue in report.issues if issue.issue == "near_duplicate"]
    for group in near.groups:
        assert [member.keep for member in group.members] == [True] + [False] * (len(group.members) - 1)
        original = {synthetic.original(synthetic.ids.index(member.subject.sample_id)) for member in group.members}
        assert len(original) == 1
        assert group.size == len(group.members)
    assert near.group_count == 20


def test_the_same_pair_of_a_leak_is_told_once(report: Report) -> None:
    (leaks,) = [issue for issue in report.issues if issue.issue == "leak"]
    pairs = [frozenset((one.subject.subject_id, one.partner.subject_id)) for one in leaks.findings if one.partner]
    assert len(set(pairs)) == len(pairs) > 0


def test_what_copies_share_is_outlined(report: Report) -> None:
    (leaks,) = [issue for issue in report.issues if issue.issue == "leak"]
    assert any(one.shared and one.shared.subject != one.shared.partner for one in leaks.findings)
    (near,) = [issue for issue in report.issues if issue.issue == "near_duplicate"]
    assert all((member.shared is None) == member.keep for group in near.groups for member in group.members)


def test_an_object_has_its_box(report: Report) -> None:
    (spurious,) = [issue for issue in report.issues if issue.issue == "spurious_object"]
    for finding in spurious.findings:
        assert finding.subject.box is not None
        assert all(0 <= side <= 1 for side in finding.subject.box)


def test_histograms_count_every_value(report: Report, synthetic: Synthetic) -> None:
    shown = {one.name: one for one in report.distributions}
    assert {"uniqueness", "outlier_score", "hardness", "brightness"} <= shown.keys()
    for one in shown.values():
        assert sum(one.counts) == one.count == len(synthetic.good)
        assert one.low <= one.median <= one.high


def test_nothing_on_the_page_runs_or_is_fetched(page: str) -> None:
    elements = Elements(page).found
    assert not {"script", "iframe", "object", "embed", "form", "link", "base"} & {tag for tag, _ in elements}
    for tag, attributes in elements:
        assert not [name for name in attributes if name.startswith("on")], tag
        assert all((attributes.get(name) or "#").startswith(("#", "data:image/")) for name in ("src", "href"))
    assert "url(" not in page
    policy = [attributes["content"] or "" for _, attributes in elements if "http-equiv" in attributes]
    assert policy[0].startswith("default-src 'none'")


def test_hostile_names_are_shown_as_what_they_are(page: str, report: Report) -> None:
    texts = "".join(Elements(page).texts)
    shown = [row.label for row in report.classes if row.label in HOSTILE]
    assert len(shown) == len(HOSTILE)
    for word in shown:
        assert re.sub("[\x00-\x1f\u202e]", "\N{REPLACEMENT CHARACTER}", word) in texts
    assert "\u202e" not in page


def test_everything_is_named_for_those_who_do_not_see_it(page: str) -> None:
    ids = [attributes["id"] for _, attributes in Elements(page).found if "id" in attributes]
    assert len(ids) == len(set(ids))
    for tag, attributes in Elements(page).found:
        if tag == "img":
            assert attributes["alt"]
        if attributes.get("role") == "img":
            assert attributes["aria-label"]
        if tag == "a":
            assert (attributes["href"] or "")[1:] in ids


def test_what_is_not_there_is_left_out(tmp_path: Path) -> None:
    lacking = Synthetic(tmp_path, count=70)
    published = lacking.publish(without=("embeddings",))
    (lacking.folder / "dataset.yaml").write_text("media: /nowhere\n")
    for table in (
        "objects",
        "leaks",
        "ground_truth",
        "outliers",
        "near_duplicates",
        "health",
        "issues",
        "visualization",
    ):
        (published / f"{table}.parquet").unlink()
        Elements(render(built(lacking.folder), {}, "1"))


def test_a_dataset_of_nothing_has_a_report(tmp_path: Path) -> None:
    empty = Synthetic(tmp_path, count=70)
    empty.publish(without=(*(table for table in Synthetic.TABLES if table != "runs"), "embeddings"))
    (empty.folder / "dataset.yaml").write_text("media: /nowhere\n")
    assert "no images in this dataset" in render(built(empty.folder), {}, "1")


def test_json_says_what_the_page_says(synthetic: Synthetic, report: Report) -> None:
    paths = DatasetPaths(synthetic.folder)
    told = json.loads(writing.report_json(paths, load_dataset(paths.config)))
    assert told["flagged"] == report.flagged
    assert [issue["issue"] for issue in told["issues"]] == [issue.issue for issue in report.issues]
    assert told["map"]["total"] == len(synthetic.good)


def test_what_a_rule_measured_is_told_with_its_threshold() -> None:
    evidence = {"meaning": "Brightness", "value": 0.12, "threshold": 0.4, "origin": "fitted"}
    assert ISSUES["dark"].reason(evidence) == "Brightness: 0.12, flagged below 0.4 (fitted to this dataset)."
    assert ISSUES["dark"].reason({}) == ISSUES["dark"].meaning
    assert issue_named("something_new").reason({}) == ""


def test_texts_are_escaped_and_elements_are_not() -> None:
    assert element("p", "<b>", element("i", "&"), title='"') == '<p title="&quot;">&lt;b&gt;<i>&amp;</i></p>'


# -- of a real dataset ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """Return a dataset that tests copy rather than change."""
    root = tmp_path_factory.mktemp("standing")
    paths = write_pictures(root / "media", range(12))
    (root / "media" / "copy.png").write_bytes(paths[0].read_bytes())
    (root / "media" / "broken.png").write_bytes(b"no image")
    workshop = Workshop(root / "home", root / "media")
    workshop.run(WHOLE)
    return workshop


@pytest.fixture
def workshop(standing: Workshop, tmp_path: Path) -> Workshop:
    """Return a copy of the standing dataset, over the same pictures."""
    shutil.copytree(standing.home.root, tmp_path / "home", symlinks=True)
    return Workshop(tmp_path / "home", standing.home.root.parent / "media")


def test_every_run_that_publishes_leaves_a_report_and_another_costs_nothing(
    workshop: Workshop, standing: Workshop
) -> None:
    page = workshop.paths.report.read_text("utf-8")
    assert "Exact duplicates" in page
    assert "Unreadable files" in page
    assert page.count("data:image/png") >= 2
    written = workshop.paths.report.stat()
    reports = workshop.run(WHOLE)
    assert reports["report"].notes == {"written": False}
    assert workshop.paths.report.stat() == written
    more = standing.home.root.parent / "media" / "more.png"
    more.write_bytes(encoded(picture(99)))
    assert workshop.run(WHOLE)["report"].notes["written"]
    assert "+1" in workshop.paths.report.read_text("utf-8")


def test_a_report_that_was_lost_is_written_again(workshop: Workshop) -> None:
    workshop.paths.report.unlink()
    assert workshop.run(["report"])["report"].notes["written"]


def test_pictures_are_bounded_and_their_loss_is_borne(workshop: Workshop) -> None:
    with publishing.connect(workshop.paths.published) as connection:
        tables = Tables(connection)
        ids = [row["sample_id"] for row in tables.rows("select sample_id from samples where status = 'ok' order by 1")]
        found = thumbnails(tables, workshop.paths.folder, ids)
        assert set(found) == set(ids)
        few = thumbnails(tables, workshop.paths.folder, ids, most_bytes=2 * max(len(one.uri) for one in found.values()))
        assert 1 <= len(few) < len(ids)
        (workshop.paths.folder / "previews.pack").write_bytes(b"")
        assert thumbnails(tables, workshop.paths.folder, ids) == {}


def test_a_large_preview_is_made_small(tmp_path: Path) -> None:
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "large.jpg").write_bytes(encoded(picture(0, (800, 500)), "JPEG"))
    workshop = Workshop(tmp_path / "home", tmp_path / "media")
    workshop.run(("reviews", "samples", "media", "published"))
    with publishing.connect(workshop.paths.published) as connection:
        tables = Tables(connection)
        (one,) = thumbnails(
            tables, workshop.paths.folder, [tables.value("select sample_id from samples")], side=100
        ).values()
    assert (one.width, one.height) == (100, 63)


def test_bad_targets_and_missing_sets_get_one_line(workshop: Workshop, tmp_path: Path) -> None:
    configuration = load_dataset(workshop.paths.config)
    with pytest.raises(StoreError, match=r"the report cannot be written to .*: No such file or directory"):
        writing.write_page(workshop.paths, configuration, tmp_path / "nowhere" / "report.html")
    fresh = Workshop(tmp_path / "other", tmp_path / "media")
    with pytest.raises(MissingError, match="nothing is published of test yet"):
        writing.write_page(fresh.paths, configuration, tmp_path / "report.html")


def test_axe_finds_nothing_serious(synthetic: Synthetic, tmp_path: Path) -> None:
    written = writing.write_page(
        DatasetPaths(synthetic.folder), load_dataset(synthetic.folder / "dataset.yaml"), tmp_path / "r.html"
    )
    with launched() as browser:
        for theme in ("light", "dark"):
            page = browser.new_page(color_scheme=theme)
            page.goto(written.path.as_uri())
            assert page.locator("h2").count() > 5
            assert serious(page) == [], theme


def test_a_link_stays_a_link_and_a_pipe_a_pipe(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    writing.write_file(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"
    os.mkfifo(tmp_path / "pipe")
    handle = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        writing.write_file(tmp_path / "pipe", b"through")
        assert os.read(handle, 20) == b"through"
    finally:
        os.close(handle)
    assert (tmp_path / "pipe").is_fifo()
    with pytest.raises(StoreError, match="cannot be written"):
        writing.write_file(tmp_path, b"folder")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["link", "pipe", "real"]
