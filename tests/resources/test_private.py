"""What a home holds is its owner's alone, also where an older version left it open."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from brain_assets.resources.settings.private import close_to_others, private_files


def mode(path: Path) -> int:
    return path.lstat().st_mode & 0o777


@pytest.fixture
def umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.mark.usefixtures("umask")
def test_files_written_in_a_home_are_the_owners_and_those_written_later_are_as_before(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with private_files(home):
        (home / "datasets").mkdir()
        (home / "datasets" / "x").write_text("")
    (tmp_path / "export.json").write_text("")
    assert [mode(home), mode(home / "datasets"), mode(home / "datasets" / "x")] == [0o700, 0o700, 0o600]
    assert mode(tmp_path / "export.json") == 0o644


@pytest.mark.usefixtures("umask")
def test_an_open_home_is_mended_and_the_users_own_files_are_not_touched(tmp_path: Path) -> None:
    home, images = tmp_path / "home", tmp_path / "images"
    for folder in (images, home / "datasets" / "x" / "published", home / "dagster", home / "pictures"):
        folder.mkdir(parents=True)
        (folder / "file").write_text("")
    (home / "alerts.jsonl").write_text("")
    (home / "datasets" / "link").symlink_to(images / "file")
    (home / "datasets" / "dangling").symlink_to("nowhere")
    close_to_others(home)
    assert mode(home) == 0o700
    ours = [home / "alerts.jsonl", *(home / "datasets").rglob("*"), *(home / "dagster").rglob("*")]
    assert [path for path in ours if not path.is_symlink() and mode(path) & 0o077] == []
    assert [mode(images), mode(images / "file"), mode(home / "pictures" / "file")] == [0o755, 0o644, 0o644]
