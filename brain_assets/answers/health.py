"""The state of a dataset in numbers, kept over time."""

import hashlib
import json
from collections.abc import Iterator, Sequence

import pyarrow as pa

from brain_assets.incremental.signal import Publication, Signal, Whole
from brain_assets.incremental.update import Update
from brain_assets.resources.store.store import Merge, tables_of

FLAGGED = "select issue, count(*) from issues where is_issue group by issue"


def health(signals: Sequence[Signal]) -> Signal:
    """Return the signal that measures what all others offer as metrics."""
    metrics = {name: query for signal in signals for name, query in signal.metrics.items()}
    tables = sorted({table for query in [*metrics.values(), FLAGGED] for table in tables_of(query)})

    def update_health(update: Update) -> Iterator[Merge]:
        store = update.dataset.store
        values = {name: float(store.value(query)) for name, query in metrics.items()}
        counted = store.rows(FLAGGED)
        values |= {f"issue_{issue}": float(count) for issue, count in counted}
        update.notes |= values
        run_id, now = update.dataset.run_id, update.dataset.store.value("select now()")
        rows = [
            {"run_id": run_id, "metric": name, "value": value, "measured_at": now} for name, value in values.items()
        ]
        yield Merge("health", pa.Table.from_pylist(rows))

    return Signal(
        name="health",
        description="The dataset in numbers after each change: samples, unreadable share, duplicates, every issue's count."
        " They plot over time, and gates are built on them.",
        group="answers",
        reads=tuple(tables),
        writes=("health",),
        # Another set of metrics is measured at once.
        version=hashlib.blake2b(json.dumps(metrics).encode(), digest_size=8).hexdigest(),
        update=Whole(update_health),
        publishes=(
            Publication(
                "health",
                'select measured_at as "at", run_id, metric, value from health order by measured_at, metric',
                {
                    "at": "When.",
                    "run_id": "After which run.",
                    "metric": "What was measured.",
                    "value": "The number.",
                },
            ),
        ),
    )
