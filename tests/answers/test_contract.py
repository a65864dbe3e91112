"""A contract: what it may say, what each clause measures, and that it is a gate like any other."""

from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml
from click.testing import CliRunner

from brain_assets.answers.contract import Contract, clauses, filled, read_contract, schema
from brain_assets.answers.gates import examine
from brain_assets.app.cli import main
from brain_assets.assets.declarations import check_declaration
from brain_assets.resources.errors import BrainError, ConfigurationError
from brain_assets.resources.settings.configuration import DatasetSettings, load_dataset
from tests.workshop import TINY, Workshop, write_pictures

PUBLISHED = """
create table samples as from (values
    ('a', 'train/a.jpg', 'ok', 'train', 'JPEG', 100, 50), ('b', 'train/b.png', 'ok', 'train', 'PNG', 8, 40),
    ('c', 'test/c.jpg', 'ok', 'test', 'JPEG', 900, 600), ('d', 'd.jpg', 'error', null, null, null, null),
    ('e', 'gone.jpg', 'dropped', 'other', 'JPEG', 1, 1)
) t (sample_id, filepath, status, split, format, width, height);
create table ground_truth as from (values
    ('a', 'ground_truth', ['cat']), ('b', 'ground_truth', ['cat', 'dog']), ('a', 'another', ['bird']),
    ('e', 'ground_truth', ['fish'])) t (sample_id, label_field, labels);
create table objects as from (values
    ('c', 'ground_truth', 'ground_truth', 'dog', 0.9, 0.1, 0.2, 0.1),
    ('c', 'ground_truth', 'ground_truth', 'cat', 0.1, 0.1, 0.001, 0.5),
    ('c', 'ground_truth', 'model', 'cow', 0, 0, 1, 1)
) t (sample_id, label_field, source, label, x, y, width, height);
create table leaks as from (values
    ('leaks', 'a', 'c', 'test', 'near'), ('leaks', 'c', 'a', 'train', 'group'), ('other', 'b', 'c', 'test', 'near')
) t (brain_key, sample_id, partner_id, partner_split, kind);
"""
CLAUSES: list[tuple[dict[str, Any], dict[str, float]]] = [
    ({"classes": ["cat", "dog", "owl"]}, {"classes.unknown <= 0": 0}),
    ({"classes": ["cat"]}, {"classes.unknown <= 0": 2}),
    ({"classes": {"cat": {"min": 2, "splits": {"train": {"max": 1}}}}, "field": "ground_truth"},
     {"classes.unknown <= 0": 2, "classes.cat >= 2": 3, "classes.cat.train <= 1": 2}),
    ({"classes": ["bird"], "field": "another"}, {"classes.unknown <= 0": 0}),
    ({"each_class": {"min": 1, "max": 9}}, {"each_class.min >= 1": 2, "each_class.max <= 9": 3}),
    ({"classes": ["cat", "owl"], "each_class_and_split": {"min": 1}},
     {"classes.unknown <= 0": 2, "each_class_and_split.min >= 1": 0}),
    ({"samples": {"min": 1, "max": 3}}, {"samples >= 1": 4, "samples <= 3": 4}),
    ({"splits": {"train": {"min": 1}, "val": {"min": 1}}},
     {"splits.unknown <= 0": 2, "splits.train >= 1": 2, "splits.val >= 1": 0}),
    ({"labelled": True}, {"labelled <= 0": 0}),
    ({"images": {"min_side": 9, "max_side": 500, "formats": ["jpeg"]}},
     {"images.min_side <= 0": 1, "images.max_side <= 0": 1, "images.formats <= 0": 1}),
    ({"boxes": {"inside": True, "min_side": 2, "max_per_image": 1}},
     {"boxes.inside <= 0": 1, "boxes.min_side <= 0": 1, "boxes.max_per_image <= 0": 1}),
    ({"leaks": 1}, {"leaks <= 1": 2}),
]  # fmt: skip


@pytest.mark.parametrize(("said", "expected"), CLAUSES, ids=lambda one: " ".join(one))
def test_what_each_clause_measures(said: dict[str, Any], expected: dict[str, float]) -> None:
    contract = Contract.model_validate(said)
    with duckdb.connect() as connection:
        connection.execute(PUBLISHED)
        found = {
            f"{one.name} {one.operator} {one.limit:g}": connection.execute(filled(one.value, contract, {})).fetchall()
            for one in clauses(contract)
        }
        for one in clauses(contract):
            if one.offenders:
                assert connection.sql(filled(one.offenders, contract, {})).columns == ["sample_id", "says"]
    assert {name: rows[0][0] for name, rows in found.items()} == expected


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("leakz: 0", "contract.yaml line 1: unknown key 'leakz'"),
        ("leaks: 0\nclasses:\n  cat: {minn: 2}", "contract.yaml line 3: unknown key 'classes.cat.minn'"),
        ("splits:\n  train: {min: few}", "contract.yaml line 2: splits.train.min: "),
        ("- a", "must hold keys and values"),
        ("leaks: [", "is not YAML"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "contract.yaml"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as raised:
        read_contract(path)
    assert told in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_number_that_is_not_measured_cannot_be_limited(tmp_path: Path) -> None:
    path = tmp_path / "contract.yaml"
    path.write_text("health: {unreadable_shares: {max: 0}}")
    with pytest.raises(ConfigurationError, match="did you mean 'unreadable_share'"):
        check_declaration(DatasetSettings(media=".", contract=str(path)))
    with pytest.raises(ConfigurationError, match="there is no file"):
        check_declaration(DatasetSettings(media=".", contract=str(tmp_path / "gone.yaml")))


def test_the_schema_knows_every_key() -> None:
    assert set(schema()["properties"]) == set(Contract.model_fields)
    assert all("description" in field or "$ref" in str(field) for field in schema()["properties"].values())


def test_a_contract_is_a_gate_kept_current_and_can_block(tmp_path: Path) -> None:
    write_pictures(tmp_path / "media" / "train", range(3))
    workshop = Workshop(tmp_path / "home", tmp_path / "media", select=("samples", "media", "health", "published"))

    def declare(**said: Any) -> None:
        (workshop.paths.folder / "contract.yaml").write_text(yaml.safe_dump(said))
        workshop.declare(
            media=str(tmp_path / "media"), embeddings={"model": TINY}, split_from="folder", contract="contract.yaml"
        )

    def told() -> dict[str, bool]:
        return {verdict.condition: verdict.passed for verdict in examine(workshop.home, workshop.name).verdicts}

    declare(samples={"min": 4}, splits={"train": {}}, health={"unreadable_share": {"max": 0}})
    workshop.run()
    assert told() == {
        "contract.samples >= 4": False, "contract.splits.unknown <= 0": True, "unreadable_share <= 0": True,
    }  # fmt: skip
    write_pictures(tmp_path / "media" / "train", range(3, 5))
    workshop.run()
    assert told()["contract.samples >= 4"]
    declare(samples={"max": 4}, severity="block")
    with pytest.raises(BrainError, match=r"contract\.samples 5 <= 4 FAILED"):
        workshop.run()
    assert told() == {"contract.samples <= 4": False}


def test_a_proposed_contract_is_kept(tmp_path: Path) -> None:
    write_pictures(tmp_path / "media" / "train" / "cat", range(3))
    write_pictures(tmp_path / "media" / "test" / "dog", range(3, 6))
    select = ("samples", "media", "ground_truth", "issues", "health", "published")
    settings = {"split_from": "folder", "labels": [{"uri": "folder"}]}
    workshop = Workshop(tmp_path / "home", tmp_path / "media", select=select, **settings)
    workshop.run()
    given = ["--home", str(workshop.home.root)]
    target = tmp_path / "contract.yaml"
    written = CliRunner().invoke(main, [*given, "contract", "init", workshop.name, "-o", str(target)])
    assert written.exit_code == 0, written.output
    assert set(read_contract(target).classes) == {"cat", "dog"}
    assert CliRunner().invoke(main, [*given, "set", workshop.name, f"contract={target}"]).exit_code == 0
    assert load_dataset(workshop.paths.config).settings.contract == str(target)
    workshop.run()
    checked = CliRunner().invoke(main, [*given, "check", workshop.name])
    assert checked.exit_code == 0, checked.output
    assert CliRunner().invoke(main, [*given, "contract", "init", workshop.name, "-o", str(target)]).exit_code == 1
