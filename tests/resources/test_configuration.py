"""Settings: what holds and where it came from, and mistakes that are named with their place and the nearest right word."""

import os
from pathlib import Path

import pytest

from brain_assets.resources.errors import ConfigurationError
from brain_assets.resources.settings.configuration import (
    DatasetSettings,
    ServiceSettings,
    fields,
    file_state,
    load_dataset,
    load_service,
)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith("BRAIN_")]:
        monkeypatch.delenv(name)
    return tmp_path / "dataset.yaml"


def origins(path: Path, **arguments: str) -> dict[str, tuple[object, str]]:
    found = load_dataset(path, {key.replace("__", "."): text for key, text in arguments.items()})
    return {value.key: (value.value, value.origin) for value in found.values}


def test_an_argument_wins_over_the_environment_over_the_file_over_the_default(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_text("media: images\n\nsimilarity:\n  k: 3\n")
    assert origins(path)["similarity.metric"] == ("cosine", "default")
    assert origins(path)["similarity.k"] == (3, "dataset.yaml line 4")
    monkeypatch.setenv("BRAIN_SIMILARITY_K", "4")
    assert origins(path)["similarity.k"] == (4, "BRAIN_SIMILARITY_K")
    assert origins(path, similarity__k="5")["similarity.k"] == (5, "argument")


def test_the_environment_may_give_what_the_file_lacks(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRAIN_MEDIA", "images")
    monkeypatch.setenv("BRAIN_KEEP_FIRST", "[val]")
    settings = load_dataset(path).settings
    assert (settings.media, settings.keep_first) == ("images", ["val"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("similarity: {k: 3}", "lacks 'media'"),
        ("", "lacks 'media'"),
        ("media:", "lacks 'media'"),
        ("- a", "must hold keys and values such as 'media: FOLDER'"),
        ("media: x\nsimilarity:\n  kk: 3", "line 3: unknown key 'similarity.kk'; did you mean 'similarity.k'?"),
        ("media: x\nsimilarty: {k: 3}", "line 2: unknown key 'similarty'; did you mean 'similarity'?"),
        ("media: x\nsimilarity:\n  k: lots", "line 3: similarity.k: must be a whole number, got 'lots'"),
        ("media: x\nsimilarity:\n  k: 0", "line 3: similarity.k: must be at least 1, got 0"),
        ("media: x\nsimilarity: {metric: cosin}", "line 2: similarity.metric: .*; did you mean 'cosine'?"),
        ("media: x\nsimilarity: 3", "line 2: similarity: "),
        ("media: 3", "line 1: media: must be text, got 3"),
        ("media: []", "line 1: media: must be "),
        ("media: x\nlabels:\n- uri: a\n- urii: b", "line 4: unknown key 'labels.1.urii'; did you mean 'labels.1.uri'?"),
        ("media: x\nlabels:\n- field: a", "line 3 lacks 'labels.0.uri'"),
        ("media: x\nlabels:\n- uri: a\n  format: coc", "line 4: labels.0.format: .*; did you mean 'coco'?"),
        ("media: x\nmedia: y", "line 2: 'media' is given twice, first in line 1"),
        ('media: "x', "line 1 is not YAML: found unexpected end of stream"),
        ("\tmedia: x", "line 1 is not YAML"),
        ("media: x\n1: 2", "line 2: unknown key 1: keys are words"),
        ("media: !!python/name:os.system x", "line 1 is not YAML"),
    ],
)
def test_a_mistake_in_the_file_is_named_with_its_line(path: Path, text: str, words: str) -> None:
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=words.replace("?", r"\?").replace(".*", "(?:.*)")) as caught:
        load_dataset(path)
    assert "\n" not in str(caught.value)
    assert "dataset.yaml" in str(caught.value)


def test_a_file_that_cannot_be_read_is_said(path: Path) -> None:
    path.write_bytes(b"media: \xff")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_dataset(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_dataset(path)


def test_a_mistake_in_the_environment_or_an_argument_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_text("media: x")
    with pytest.raises(ConfigurationError, match=r"argument: similarity.k: .* got 'many'"):
        load_dataset(path, {"similarity.k": "many"})
    with pytest.raises(ConfigurationError, match=r"unknown setting 'similarity.kk'; did you mean 'similarity.k'\?"):
        load_dataset(path, {"similarity.kk": "3"})
    with pytest.raises(ConfigurationError, match="argument: '\\[' is not a value"):
        load_dataset(path, {"keep_first": "["})
    monkeypatch.setenv("BRAIN_SENSOR_ENABLED", "maybe")
    with pytest.raises(ConfigurationError, match=r"BRAIN_SENSOR_ENABLED: sensor.enabled"):
        load_dataset(path)


def test_a_section_whose_lines_are_commented_out_is_empty(path: Path) -> None:
    path.write_text("media: x\nsimilarity:\n#  k: 3\n")
    assert load_dataset(path).settings.similarity.k == 20


def test_an_argument_replaces_what_is_no_section(path: Path) -> None:
    path.write_text("media: x\nsimilarity:\n")
    assert load_dataset(path, {"similarity.k": "3"}).settings.similarity.k == 3


def test_service_settings_may_be_absent(tmp_path: Path, path: Path) -> None:
    assert load_service(tmp_path / "settings.yaml").settings == ServiceSettings()
    (tmp_path / "settings.yaml").write_text("memory: plenty")
    with pytest.raises(ConfigurationError, match=r"settings.yaml line 1: memory: must be of the form"):
        load_service(tmp_path / "settings.yaml")


@pytest.mark.parametrize("model", [DatasetSettings, ServiceSettings])
def test_every_field_is_described(model: type[DatasetSettings | ServiceSettings]) -> None:
    found = dict(fields(model))
    assert found
    assert [key for key, field in found.items() if not (field.description or "").endswith(".")] == []


def test_the_digest_names_the_settings_whatever_their_origin(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_text("media: x")
    plain = load_dataset(path).digest
    path.write_text("# a comment\nmedia: x\nsimilarity: {k: 20}")
    assert load_dataset(path).digest == plain
    given = load_dataset(path, {"similarity.k": "3"}).digest
    monkeypatch.setenv("BRAIN_SIMILARITY_K", "3")
    assert load_dataset(path).digest == given != plain


def test_the_digest_changes_with_the_files_that_models_are_read_from(path: Path, tmp_path: Path) -> None:
    model, other = tmp_path / "vectors.csv", tmp_path / "model.onnx"
    text = (
        "media: x\nembeddings: {model: 'precomputed:%s'}\nruns:\n- {brain_key: b, method: embeddings, model: 'onnx:%s'}"
    )
    path.write_text(text % (model, other))
    digests = [load_dataset(path).digest]
    for file in (model, other):
        file.write_text("a")
        digests.append(load_dataset(path).digest)
        os.utime(file, ns=(0, 0))
        digests.append(load_dataset(path).digest)
    assert len(set(digests)) == 5
    assert load_dataset(path).digest == digests[-1]
    assert file_state("builtin:efficientnet-lite0") is None
    assert file_state(f"onnx:{other}") == (1, 0)


LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "says"),
    [(f"{LAUGHS}classes: *i\n", "its aliases make more than"), ("a: &a [*a, *a]\n", "its aliases make more than"),
     ("classes: " + "[" * 3000, "nested too deep|is not YAML"), ("media: !!python/object/apply:os.getcwd []\n", "not YAML")],
)  # fmt: skip
def test_no_yaml_holds_more_than_is_written_in_it(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "dataset.yaml").write_text(f"media: /pictures\n{text}")
    with pytest.raises(ConfigurationError, match=says) as caught:
        load_dataset(tmp_path / "dataset.yaml")
    assert "\n" not in str(caught.value)
