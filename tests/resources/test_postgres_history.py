"""The history of runs in Postgres: chosen by a setting, over connections that stay open, and wrong settings told in a line."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy

from brain_assets.resources.errors import ConfigurationError
from brain_assets.resources.settings import history, instance
from brain_assets.resources.settings.home import Home
from tests.resources.test_history_storage import run

pytestmark = pytest.mark.filterwarnings("ignore::platformdirs.RuntimeDirWarning")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Return the address of a server that runs for these tests."""
    pytest.importorskip("dagster_postgres", reason="needs brain-assets[postgres]")
    pgserver = pytest.importorskip("pgserver")
    # A socket's path may not be long.
    server = pgserver.get_server(tempfile.mkdtemp(prefix="pg"))
    yield server.get_uri()
    server.cleanup()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    for name in ("BRAIN_HOME", "DAGSTER_HOME"):
        monkeypatch.setenv(name, "")
    # Set by what is tested, and taken back with the test.
    monkeypatch.setenv(instance.ADDRESS, "")
    home = Home(tmp_path / "home")
    home.root.mkdir()
    return home


def test_runs_are_kept_there_and_connections_stay_open(home: Home, url: str) -> None:
    home.settings.write_text(f"history_url: {url}\n")
    instance.prepare(home)
    with dg.DagsterInstance.get() as kept:
        first, second = run(kept), run(kept)
        kept.add_dynamic_partitions("dataset", ["flowers"])
        assert {one.run_id for one in kept.get_runs()} >= {first, second}
        assert kept.has_dynamic_partition("dataset", "flowers")
        engine: sqlalchemy.Engine = kept.event_log_storage._engine
        made: list[object] = []
        sqlalchemy.event.listen(engine, "connect", lambda connection, _: made.append(connection))
        assert kept.all_logs(first)
        assert kept.all_logs(second)
        assert made == []
        history.forget(kept, {})
        assert kept.get_runs() == []
    assert not (home.dagster / "history").exists()
    # Another home of the same process has a history of its own.
    other = Home(home.root.parent / "other")
    instance.prepare(other)
    assert (other.dagster / "dagster.yaml").read_text() == instance.SETTINGS


def test_a_home_that_has_its_history_in_files_goes_there_and_back(
    home: Home, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance.prepare(home)
    file = home.dagster / "dagster.yaml"
    assert file.read_text() == instance.SETTINGS
    monkeypatch.setenv("BRAIN_HISTORY_URL", url)
    instance.prepare(home)
    assert file.read_text() == instance.IN_POSTGRES
    monkeypatch.delenv("BRAIN_HISTORY_URL")
    with pytest.raises(
        ConfigurationError, match=r"in Postgres: say where by history_url in .*settings\.yaml.* deletes"
    ):
        instance.prepare(home)
    file.unlink()
    instance.prepare(home)
    assert file.read_text() == instance.SETTINGS


def test_what_cannot_be_is_told_in_a_line(home: Home, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    home.settings.write_text("history_url: postgresql://brain@127.0.0.1:1/brain\n")
    with pytest.raises(
        ConfigurationError, match=r"cannot be opened at postgresql://brain@127.0.0.1:1/brain .*refused"
    ) as told:
        instance.prepare(home)
    assert "\n" not in str(told.value)
    assert not (home.dagster / "dagster.yaml").exists()
    home.settings.write_text("history_url: postgresql://brain:secret@127.0.0.1/brain\n")
    with pytest.raises(ConfigurationError, match="a password has no place in a file: give it by PGPASSWORD"):
        instance.prepare(home)
    home.settings.write_text("history_url: mysql://brain@127.0.0.1/brain\n")
    with pytest.raises(ConfigurationError, match="history_url"):
        instance.prepare(home)
    home.settings.write_text(f"history_url: {url}\n")
    (home.dagster / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    with pytest.raises(ConfigurationError, match=r"has no effect, as .* is one of your own"):
        instance.prepare(home)


def test_a_package_that_lacks_is_told(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instance, "find_spec", lambda name: None)
    home.settings.write_text("history_url: postgresql://brain@127.0.0.1:1/brain\n")
    with pytest.raises(ConfigurationError, match=r"pip install 'brain-assets\[postgres\]'"):
        instance.prepare(home)
