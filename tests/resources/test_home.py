"""Where everything lies, and which names a dataset may have."""

from pathlib import Path

import pytest

from brain_assets.resources.errors import ConfigurationError, MissingError
from brain_assets.resources.settings.home import Home


def test_the_root_is_given_or_from_the_environment_or_below_the_users_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("BRAIN_HOME", raising=False)
    assert Home.default().root == tmp_path / ".brain"
    monkeypatch.setenv("BRAIN_HOME", "~/elsewhere")
    assert Home.default().root == tmp_path / "elsewhere"
    assert Home.default(tmp_path / "given").root == tmp_path / "given"
    monkeypatch.chdir(tmp_path)
    assert Home.default("relative").root == tmp_path / "relative"


def test_all_files_of_a_dataset_lie_below_its_folder(tmp_path: Path) -> None:
    paths = Home(tmp_path).paths("flowers")
    assert paths.name == "flowers"
    names = [name for name, kind in vars(type(paths)).items() if isinstance(kind, property) and name != "name"]
    assert len(names) >= 7
    places = [getattr(paths, name) for name in names]
    assert all(paths.folder in place.parents for place in places)
    assert len(set(places)) == len(places)


@pytest.mark.parametrize("name", ["flowers", "Flowers_2.1-x", "0", "a" * 100])
def test_good_names(tmp_path: Path, name: str) -> None:
    assert Home(tmp_path).paths(name).folder == tmp_path / "datasets" / name


@pytest.mark.parametrize("name", ["", ".hidden", "../up", "a/b", "with space", "ümlaut", "a" * 101, "-x", "a\n", "a\0"])
def test_bad_names_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot name a dataset"):
        Home(tmp_path).paths(name)


def test_datasets_are_those_with_a_declaration(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert home.names() == []
    for name in ("b", "a"):
        home.paths(name).folder.mkdir(parents=True)
        home.paths(name).config.touch()
    (home.datasets / "leftover").mkdir()
    assert home.names() == ["a", "b"]
    assert home.existing("a") == home.paths("a")


def test_an_unknown_dataset_is_answered_with_those_there_are(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with pytest.raises(MissingError, match=r"datasets: none yet\); declare it with 'brain add'"):
        home.existing("flowers")
    home.paths("birds").folder.mkdir(parents=True)
    home.paths("birds").config.touch()
    with pytest.raises(MissingError, match=r"no dataset 'flowers' in .*datasets: birds"):
        home.existing("flowers")
