"""Splits that are kept as data arrives: they never leak, never move what is planned, and follow what reviewers say."""

import json
from pathlib import Path

import pytest

from brain_assets.resources.errors import ConfigurationError
from brain_assets.resources.settings.configuration import load_dataset
from brain_assets.resources.store.events import Event, Events
from tests.workshop import Workshop, encoded, picture, write_pictures

ALL = (
    *("reviews", "samples", "media", "ground_truth", "exact_duplicates", "embeddings", "similarity", "near_duplicates"),
    *("planned_splits", "published"),
)
SHARES = {"shares": {"train": 0.5, "test": 0.5}}
PLANNED = "select filepath, planned_splits.split from planned_splits join samples using (sample_id) order by 1"


def make(root: Path, **settings: object) -> Workshop:
    write_pictures(root / "media", range(20))
    lines = [f"{seed:05}.png,{'cat' if seed % 2 else 'dog'},{seed // 2 % 5}" for seed in range(60)]
    (root / "labels.csv").write_text("\n".join(["filepath,label,patient", *lines]))
    declared = {"labels": [{"uri": str(root / "labels.csv")}], "groups": ["patient"], "splits": SHARES}
    return Workshop(root / "home", root / "media", **{**declared, **settings})


def plan_of(workshop: Workshop, key: str = "planned_splits") -> dict[str, str | None]:
    return dict(workshop.rows(PLANNED.replace("order", f"where brain_key = '{key}' order")))


def leaks_of_groups(workshop: Workshop) -> list[tuple]:
    return workshop.rows("""
        select shared from (
            select planned_splits.split, unnest(groups) as shared from planned_splits join samples using (sample_id))
        where split is not null group by shared having count(distinct split) > 1""")


def test_what_is_planned_stays_as_others_arrive(tmp_path: Path) -> None:
    workshop = make(tmp_path)
    workshop.run(ALL)
    before = plan_of(workshop)
    assert set(before.values()) == {"train", "test"}
    assert not leaks_of_groups(workshop)
    (tmp_path / "media" / "copy.png").write_bytes((tmp_path / "media" / "00003.png").read_bytes())
    (tmp_path / "media" / "00004.png").unlink()
    write_pictures(tmp_path / "media", range(20, 30))
    workshop.run(ALL)
    after = plan_of(workshop)
    before.pop("00004.png")
    assert len(after) == 30
    assert before.items() <= after.items()
    assert after["copy.png"] == after["00003.png"]
    assert not leaks_of_groups(workshop)
    assert not workshop.wrong(["planned_splits"])
    assert workshop.run(("planned_splits",))["planned_splits"].up_to_date
    seen = set(workshop.rows("select unit_id, unit_size from planned_splits"))
    assert sum(size for _, size in seen) == 30


def test_what_would_leak_anywhere_is_left_out_until_it_would_not(tmp_path: Path) -> None:
    workshop = make(tmp_path, groups=[])
    workshop.run(ALL)
    found = plan_of(workshop)
    train, test = (next(name for name, split in found.items() if split == one) for one in ("train", "test"))
    labels = f"filepath,patient\n{train},a\n{test},b\nnew.png,a\n"
    (tmp_path / "media" / "new.png").write_bytes((tmp_path / "media" / test).read_bytes())
    (tmp_path / "labels.csv").write_text(labels)
    workshop.declare(
        media=str(tmp_path / "media"), labels=[{"uri": str(tmp_path / "labels.csv")}], groups=["patient"], splits=SHARES,
        embeddings={"model": "python:tests.models:Pixels"},
    )  # fmt: skip
    workshop.run(ALL)
    assert workshop.rows("select filepath, planned_splits.split, reason from planned_splits join samples using (sample_id)"
        " where reason is not null") == [("new.png", None, "it belongs to samples of several splits")]  # fmt: skip
    assert plan_of(workshop) == {**found, "new.png": None}
    (tmp_path / "media" / test).unlink()
    workshop.run(ALL)
    assert plan_of(workshop)["new.png"] == "train"


def test_a_repair_moves_what_came_to_belong_together(tmp_path: Path) -> None:
    workshop = make(tmp_path, groups=[])
    workshop.run((*ALL, "health"))
    before = plan_of(workshop)
    plain = make(tmp_path, groups=[], splits={})
    plain.run((*ALL, "health"))
    assert plan_of(plain) == {}
    workshop = make(tmp_path, groups=[])
    workshop.run((*ALL, "health"))
    assert plan_of(workshop) == before
    assert (
        workshop.rows("select metric, value from health where metric = 'planned_leaks'") == [("planned_leaks", 0)] * 2
    )
    some = [name for name, split in before.items() if split == "train"][:3]
    one = next(name for name, split in before.items() if split == "test")
    (tmp_path / "labels.csv").write_text("\n".join(["filepath,patient", *(f"{name},a" for name in [*some, one])]))
    declared = {
        "media": str(tmp_path / "media"), "labels": [{"uri": str(tmp_path / "labels.csv")}], "groups": ["patient"],
        "embeddings": {"model": "python:tests.models:Pixels"},
    }  # fmt: skip
    workshop.declare(**declared, splits=SHARES)
    workshop.run((*ALL, "health"))
    assert plan_of(workshop) == before
    assert workshop.wrong(["planned_splits"]) == {"planned_splits_do_not_leak": 1}
    workshop.declare(**declared, splits={**SHARES, "repair": True})
    workshop.run((*ALL, "health"))
    assert plan_of(workshop) == {**before, one: "train"}
    numbers = "select metric, value from health where metric like 'planned%' order by recorded_at desc, metric limit 2"
    assert workshop.rows(numbers) == [("planned_leaks", 0), ("planned_left_out", 0)]
    assert not workshop.wrong(["planned_splits"])


def test_a_pair_that_a_reviewer_tells_apart_may_be_torn_apart(tmp_path: Path) -> None:
    (tmp_path / "media").mkdir()
    for seed in range(4):
        image = picture(seed, (64, 48))
        (tmp_path / "media" / f"{seed}.png").write_bytes(encoded(image))
        (tmp_path / "media" / f"{seed}b.jpg").write_bytes(encoded(image, "JPEG"))
    workshop = Workshop(tmp_path / "home", tmp_path / "media", splits=SHARES)
    workshop.run(ALL)
    units = "select count(distinct unit_id), max(unit_size) from planned_splits"
    assert workshop.rows(units) == [(4, 2)]
    contents = dict(workshop.rows("select filepath, content_hash from samples"))
    ids = dict(workshop.rows("select filepath, sample_id from samples"))
    Events(workshop.paths.events).append(
        Event("not_copy", "ann", json.dumps([contents["0b.jpg"]])), [(ids["0.png"], contents["0.png"])]
    )
    workshop.run(ALL)
    assert workshop.rows(units) == [(5, 2)]


def test_folds_given_splits_and_runs_of_their_own(tmp_path: Path) -> None:
    write_pictures(tmp_path / "media" / "train", range(8))
    write_pictures(tmp_path / "media" / "test", range(8, 10))
    write_pictures(tmp_path / "media" / "new", range(10, 20))
    runs = [
        {"brain_key": "folds", "method": "planned_splits", "parameters": {"shares": {}, "given": False, "folds": 4}},
        {"brain_key": "few", "method": "planned_splits", "where": "split is null", "parameters": SHARES},
    ]
    workshop = Workshop(tmp_path / "home", tmp_path / "media", split_from="folder", splits={"given": True}, runs=runs)
    workshop.run(ALL)
    given = plan_of(workshop)
    assert sum(split == "train" for split in given.values()) == 16
    assert all(name.startswith(f"{split}/") for name, split in given.items() if not name.startswith("new/"))
    folds = list(plan_of(workshop, "folds").values())
    assert {name: folds.count(name) for name in folds} == {f"fold_{one}": 5 for one in (1, 2, 3, 4)}
    few = plan_of(workshop, "few")
    assert {name.partition("/")[0] for name in few} == {"new"}
    assert sorted(few.values()).count("test") == 5


@pytest.mark.parametrize(
    ("splits", "words"),
    [
        ({"shares": {"train": 0.8, "test": 0.1}}, "shares add up to 0.9, not to 1"),
        ({"shares": {"train": 0.8, "test": 0.2}, "folds": 3}, "shares or folds, not both"),
        ({"shares": {"train": 1.5, "test": -0.5}}, "splits.shares.test: must be more than 0"),
        ({"share": {"train": 1}}, "unknown key 'splits.share'; did you mean 'splits.shares'"),
    ],
)
def test_shares_that_mean_nothing_are_one_line(tmp_path: Path, splits: dict, words: str) -> None:
    workshop = make(tmp_path, splits=splits)
    with pytest.raises(ConfigurationError, match=words.replace("?", r"\?")):
        load_dataset(workshop.paths.config)
