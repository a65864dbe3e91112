"""A dataset's own history is thinned with its age, and what is read of it stays."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from brain_assets.answers.retention import DAILY_DAYS, WHOLE_DAYS, thin
from brain_assets.resources.dataset import Dataset, Opening, open_dataset
from tests.workshop import Workshop

NOW = datetime.now(UTC)


def filled(dataset: Dataset, moments: list[datetime]) -> None:
    with dataset.store.write("test", "test") as transaction:
        for number, at in enumerate(moments):
            transaction.execute("insert into health values (?, 'samples', ?, ?, 1)", [f"run-{number:05}", number, at])
            for key in ("uniqueness", "mine"):
                transaction.execute(
                    """insert into runs (run_id, brain_key, method, config, state, started_at, code_version)
                    values (?, ?, 'uniqueness', '{}', 'done', ?, '1')""",
                    [f"run-{number:05}", key, at if key == "uniqueness" else at - timedelta(days=900)],
                )
            transaction.execute("insert into changes values (?, 'run', 'a', 1, ?)", [number + 10**6, at])
        transaction.mark("health")


def test_old_days_and_weeks_keep_their_last_record(tmp_path: Path) -> None:
    moments = [NOW - timedelta(hours=6 * number) for number in range(4 * 500)]
    workshop = Workshop(tmp_path / "home", tmp_path)
    with open_dataset(workshop.home, workshop.name, Opening("test", "test")) as dataset:
        filled(dataset, moments)
        number = dataset.store.number
        assert thin(dataset) > 0
        for table, at, key in (("health", "measured_at", "true"), ("runs", "started_at", "brain_key = 'uniqueness'")):
            kept = [row[0] for row in dataset.store.rows(f"select {at} from {table} where {key} order by 1")]
            fresh, daily = NOW - timedelta(days=WHOLE_DAYS, hours=1), NOW - timedelta(days=DAILY_DAYS - 1)
            assert sum(moment >= NOW - timedelta(days=WHOLE_DAYS) for moment in kept) >= 4 * WHOLE_DAYS - 1
            days = Counter(moment.date() for moment in kept if daily < moment < fresh)
            weeks = Counter(moment.isocalendar()[:2] for moment in kept if moment < daily - timedelta(days=8))
            assert set(days.values()) == set(weeks.values()) == {1}
            assert DAILY_DAYS - WHOLE_DAYS - 3 <= len(days) <= DAILY_DAYS - WHOLE_DAYS
            assert kept[0] <= moments[-1] + timedelta(days=7)
        # The newest record of a run that ended long ago stays.
        assert (
            dataset.store.value("select arg_max(run_id, started_at) from runs where brain_key = 'mine'") == "run-00000"
        )
        assert thin(dataset) == 0
        assert dataset.store.number > number
    with open_dataset(workshop.home, workshop.name, Opening("test", "test")) as dataset:
        assert dataset.store.number > number
        assert dataset.store.value("select count(*) from changes") <= 4 * WHOLE_DAYS + 3


@pytest.mark.parametrize("days", [0, WHOLE_DAYS - 1])
def test_a_young_history_is_left_alone(tmp_path: Path, days: int) -> None:
    workshop = Workshop(tmp_path / "home", tmp_path)
    with open_dataset(workshop.home, workshop.name, Opening("test", "test")) as dataset:
        filled(dataset, [NOW - timedelta(days=days, hours=number) for number in range(5)])
        number = dataset.store.number
        assert thin(dataset) == 0
        assert (dataset.store.number, dataset.store.value("select count(*) from health")) == (number, 5)
