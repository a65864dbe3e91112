"""The model that is fitted to the labels: what it says of whom, and when it is made anew."""

import json
from pathlib import Path
from typing import Any

import pytest

from brain_assets.ingest.accounting import accounts
from brain_assets.resources.store.publishing import connect
from tests.signals.test_label_issues import (
    CLASSES,
    EACH,
    STEPS,
    check,
    issues,
    make_workshop,
    name_of,
    write_clusters,
    write_labels,
    write_logits,
)
from tests.workshop import Workshop

ALL = (*STEPS[:-4], "builtin_predictions", "hardness", *STEPS[-4:])
# In these clusters all are copies of each other.
WITH_COPIES = (*STEPS[:-4], "near_duplicates", "builtin_predictions", *STEPS[-4:])
SETTINGS = {"builtin_model": {"min_samples": 10}}
FIT = "select evidence from calibrations where issue = 'builtin_model ground_truth'"


@pytest.fixture
def truth(tmp_path: Path) -> dict[str, str]:
    found = write_clusters(tmp_path / "media")
    write_labels(tmp_path, found)
    return found


def fits(workshop: Workshop) -> list[Any]:
    return [json.loads(row[0])["fit"] for row in workshop.rows(FIT)]


def named(workshop: Workshop) -> dict[str, str]:
    rows = "select filepath, label from predictions join samples using (sample_id) where model = 'builtin'"
    return dict(workshop.rows(rows))


def test_it_says_what_the_others_labels_say(tmp_path: Path, truth: dict[str, str]) -> None:
    write_labels(tmp_path, {**truth, name_of(3): "owl"})
    workshop = make_workshop(tmp_path, **SETTINGS)
    workshop.run(ALL)
    assert named(workshop) == truth
    evidence = issues(workshop)[name_of(3)][1]
    assert (evidence["suggested"], evidence["by_builtin"], evidence["model"]) == (["cat"], True, None)
    with connect(workshop.paths.published) as connection:
        assert [one.role for one in accounts(connection)] == ["labels"]
    for table in ("hardness", "mistakenness"):
        assert workshop.rows(f"select model, count(*) from {table} group by 1") == [("builtin", len(truth))]
    check(workshop, tmp_path, steps=ALL, **SETTINGS)


def test_the_rows_of_other_models_stay_as_they_are_and_its_name_is_its_own(
    tmp_path: Path, truth: dict[str, str]
) -> None:
    for model in ("net", "other", "builtin"):
        write_logits(tmp_path / "predictions" / f"{model}.parquet", truth, CLASSES)
    off = make_workshop(tmp_path, "off", builtin_model={"enabled": False})
    on = make_workshop(tmp_path, **SETTINGS)
    for workshop in (off, on):
        workshop.run(ALL)
    for table in ("hardness", "mistakenness"):
        theirs = f"select * from {table} where model != 'builtin' order by all"
        assert off.rows(theirs) == on.rows(theirs) != []
    assert off.rows("select distinct model from hardness order by 1") == [("*",), ("net",), ("other",)]
    assert on.rows("select distinct file, reason from rejected_rows") == [("builtin.parquet", "reserved")]


def test_a_fit_stands_until_more_than_a_tenth_of_its_labels_are_others(tmp_path: Path, truth: dict[str, str]) -> None:
    workshop = make_workshop(tmp_path, **SETTINGS)
    workshop.run(ALL)
    first = fits(workshop)
    changed = {**truth, name_of(0): "dog", name_of(1): "owl", name_of(2): "cat"}
    write_labels(tmp_path, changed)
    assert workshop.run(ALL)["builtin_predictions"].notes["judged"] == 3
    assert fits(workshop) == first
    write_labels(tmp_path, {**changed, name_of(3): "owl"})
    assert workshop.run(ALL)["builtin_predictions"].notes["judged"] == 3 * EACH
    assert len(fits(workshop)) == 1
    assert fits(workshop) != first
    check(workshop, tmp_path, steps=ALL, **SETTINGS)
    # Switched off, nothing is left of it.
    workshop = make_workshop(tmp_path, builtin_model={"enabled": False})
    workshop.run(ALL)
    assert named(workshop) == {}
    assert workshop.rows("select count(*) from label_issues where by_builtin is not null") == [(0,)]


def test_copies_are_judged_by_a_head_that_has_seen_none_of_them(tmp_path: Path, truth: dict[str, str]) -> None:
    # All of a class are copies here, so that the head that may judge them knows no such class, and says nothing.
    workshop = make_workshop(tmp_path, **SETTINGS)
    workshop.run(WITH_COPIES)
    assert len(workshop.rows("select distinct component_id from components")) == 3
    assert named(workshop) == {}
    del truth[name_of(0)]
    write_labels(tmp_path, truth)
    workshop.run(WITH_COPIES)
    assert named(workshop)[name_of(0)] in {"dog", "owl"}
    check(workshop, tmp_path, steps=WITH_COPIES, **SETTINGS)


def test_unlabelled_look_alikes_take_no_places_and_a_field_with_few_labels_misses_none(
    tmp_path: Path, truth: dict[str, str]
) -> None:
    labelled = {name: label for number, (name, label) in enumerate(truth.items()) if number % 3 or number < 18}
    write_labels(tmp_path, {**labelled, name_of(0): "owl"})
    workshop = make_workshop(tmp_path, similarity={"k": 11}, builtin_model={"enabled": False})
    workshop.run(ALL)
    assert {issue for issue, _ in issues(workshop).values()} == {"label_mistake"}
    assert workshop.rows("select count(*) from issues where issue = 'missing_label'") == [(0,)]
    assert workshop.rows("select count(*) from label_issues where given is null") == [(6,)]
