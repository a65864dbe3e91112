"""A dataset's own history is thinned with its age, and what is read of it stays."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from brain_assets.answers.retention import DAILY_DAYS, WHOLE_DAYS, thin
from brain_assets.resources.dataset import Dataset, Opening, open_dataset
from tests.workshop import Workshop

NOW = datetime.now(UTC)


def filled(dataset: Dataset, moments: list[datetime]) -> None:
    """Add a record of each kind for every moment, and one of a run that ended 900 days before."""
    given = pa.table({"number": range(len(moments)), "moment": pa.array(moments, pa.timestamp("us", "UTC"))})
    dataset.store.connection.register("given", given)
    with dataset.store.write("test", "test") as transaction:
        name = "format('run-{:05}', number)"
        transaction.execute(f"insert into health select {name}, 'samples', number, moment, 1 from given")
        for key, at in (("uniqueness", "moment"), ("mine", "moment - interval 900 day")):
            transaction.execute(
                f"""insert into runs (run_id, brain_key, method, config, state, started_at, code_version)
                select {name}, '{key}', 'uniqueness', '{{}}', 'done', {at}, '1' from given"""
            )
        transaction.execute("insert into changes select number + 1000000, 'run', 'a', 1, moment from given")
        transaction.mark("health")
    dataset.store.connection.unregister("given")


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
