"""A year of daily changes: the space that its versions take beside one set, and how long a difference and SQL at a date take.

``python -m tests.benchmarks.benchmark_versions --samples 20000 --days 365``
"""

import argparse
import tempfile
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from brain_assets.answers.differences import Pair, compare
from brain_assets.resources.store import deltas, history, publishing
from brain_assets.resources.store.publishing import TableQuery, connect, publish
from brain_assets.resources.store.store import Merge, Store

# Parts hold rows as they came, as those of embeddings do.
NEIGHBORS, DIMENSIONS, ROWS_OF_PART = 10, 256, 4096
TABLES = {
    "samples": {
        "sample_id": "varchar", "filepath": "varchar", "status": "varchar", "error": "varchar", "content_hash": "varchar",
        "split": "varchar", "tags": "varchar[]", "groups": "varchar[]",
    },
    "ground_truth": {"sample_id": "varchar", "label_field": "varchar", "labels": "varchar[]", "origin": "varchar"},
    "issues": {
        "subject_id": "varchar", "sample_id": "varchar", "issue": "varchar", "source": "varchar", "score": "double",
        "is_issue": "boolean", "evidence": "varchar",
    },
    "uniqueness": {"brain_key": "varchar", "sample_id": "varchar", "uniqueness": "double"},
    "neighbors": {"sample_id": "varchar", "rank": "integer", "neighbor_id": "varchar", "distance": "float"},
    "embeddings": {"part": "integer", "sample_id": "varchar", "vector": "float[]"},
}  # fmt: skip
KEYS = {"issues": ["subject_id", "issue", "source"], "neighbors": ["sample_id", "rank"]}
SHOWN_DAYS = 30
PARTS = "select part, bit_xor(hash(t_embeddings)) as mark from t_embeddings group by part"


class Clock(datetime):
    """A day for each publication."""

    today_is = datetime(2025, 11, 26, 12, tzinfo=UTC)

    @classmethod
    def now(cls, tz: object = None) -> datetime:
        del tz
        return cls.today_is


class World:
    """A dataset of which every day some samples go, as many come, and the neighbours of these are others."""

    def __init__(self, root: Path, count: int) -> None:
        self.random, self.count, self.made = np.random.default_rng(0), count, count
        self.ids, self.ordinals = self._names(np.arange(count)), np.arange(count)
        self.store = Store(root / "store.duckdb")
        with self.store.write("run", "benchmark") as transaction:
            for name, columns in TABLES.items():
                transaction.create(f"t_{name}", {**columns, "changed": "bigint"}, KEYS.get(name, ["sample_id"]))
        self.store.keys.update({f"t_{name}": KEYS.get(name, ["sample_id"]) for name in TABLES})
        self.queries = [
            TableQuery(
                name,
                f"select * exclude (changed) from t_{name} order by {', '.join(KEYS.get(name, ['sample_id']))}",
                PARTS if name == "embeddings" else None,
            )
            for name in TABLES
        ]
        self.put(np.arange(count))

    def _names(self, numbers: np.ndarray) -> np.ndarray:
        return np.array([f"{hash((int(one), 1)) % (1 << 80):020x}" for one in numbers], object)

    def day(self, share: float) -> None:
        """Replace a share of the samples, and change the lists of those that have them as neighbours."""
        chosen = self.random.choice(self.count, max(int(self.count * share), 1), replace=False)
        gone = ", ".join(f"'{one}'" for one in self.ids[chosen])
        with self.store.write("run", "benchmark") as transaction:
            for name in TABLES:
                transaction.delete(f"t_{name}", f"sample_id in ({gone})")
        self.ordinals[chosen] = np.arange(self.made, self.made + len(chosen))
        self.ids[chosen] = self._names(self.ordinals[chosen])
        self.made += len(chosen)
        near = self.random.choice(self.count, len(chosen) * NEIGHBORS, replace=False)
        self.put(chosen, near)

    def put(self, chosen: np.ndarray, near: np.ndarray | None = None) -> None:
        of = self.ids[chosen if near is None else np.union1d(chosen, near)]
        with self.store.write("run", "benchmark") as transaction:
            for name, columns in self._rows(chosen, of).items():
                self._merge(transaction, name, columns)

    def _rows(self, chosen: np.ndarray, near: np.ndarray) -> dict[str, list]:
        """Return the columns of each table: of new samples, and of those whose neighbours are others."""
        ids, size, lists = self.ids[chosen], len(chosen), len(near) * NEIGHBORS
        some = ids[: max(size // 10, 1)]
        paths, none, empty = [f"images/{one}.jpg" for one in ids], [None] * size, [[]] * size
        return {
            "samples": [ids, paths, ["ok"] * size, none, ids, ["train"] * size, empty, empty],
            "ground_truth": [ids, ["ground_truth"] * size, [["cat"]] * size, ["file"] * size],
            "issues": [
                some, some, *([word] * len(some) for word in ("blurry", "image_quality")), self.random.random(len(some)),
                [True] * len(some), ["{}"] * len(some),
            ],
            "uniqueness": [["uniqueness"] * len(near), near, self.random.random(len(near))],
            "neighbors": [
                np.repeat(near, NEIGHBORS), np.tile(np.arange(1, NEIGHBORS + 1), len(near)),
                self.random.choice(self.ids, lists), self.random.random(lists),
            ],
            "embeddings": [self.ordinals[chosen] // ROWS_OF_PART, ids, list(self.random.random((size, DIMENSIONS), np.float32))],
        }  # fmt: skip

    def _merge(self, transaction: object, name: str, columns: list) -> None:
        rows = pa.table([pa.array(list(column)) for column in columns], list(TABLES[name]))
        self.store.connection.register("given", rows)
        listed = ", ".join(f'"{column}"::{kind} as "{column}"' for column, kind in TABLES[name].items())
        transaction.merge(Merge(f"t_{name}", self.store.query(f"select {listed} from given")))


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def space_of(published: Path) -> str:
    one, kept = size_of(published / "current" / ""), size_of(deltas.folder_of(published))
    return f"one set {one / 1e6:.1f} MB, versions {kept / 1e6:.1f} MB, {kept / one:.2f} times"


def answered(connection: duckdb.DuckDBPyConnection, query: str) -> list:
    return connection.execute(query).fetchall()


def timed(asked: object) -> float:
    begun = time.process_time()
    asked()
    return time.process_time() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("samples", 20_000), ("days", 365)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--share", type=float, default=0.001)
    asked = parser.parse_args()
    publishing.datetime = deltas.datetime = Clock
    with tempfile.TemporaryDirectory() as root:
        published = Path(root) / "year" / "published"
        world, retention, spent = World(Path(root), asked.samples), deltas.Retention(), 0.0
        for day in range(asked.days + 1):
            if day:
                world.day(asked.share)
            Clock.today_is += timedelta(days=1)
            spent += timed(lambda: publish(world.store, published, world.queries, {}, 1, retention))
            if day and day % SHOWN_DAYS == 0:
                print(f"day {day}: {spent / (day + 1):.2f} CPU-s a publication; {space_of(published)}", flush=True)
        print(
            f"{asked.samples} samples, {asked.days} days of {asked.share:.2%}: {spent / (asked.days + 1):.2f} CPU-s a publication"
        )
        with connect(published) as connection:
            now = timed(partial(answered, connection, "select count(*), sum(distance) from neighbors"))
        with history.open_history(published) as opened:
            versions = opened.versions
            print(f"{len(versions) - 1} versions before the current one: {space_of(published)}")
            query = "select count(*), sum(distance) from neighbors"
            for words, version in (("a week", versions[min(7, len(versions) - 1)]), ("all", versions[-1])):
                apart = timed(partial(compare, Pair.of_versions(opened, version, versions[0])))
                with history.connect_at(opened, version) as connection:
                    then = timed(partial(answered, connection, query))
                print(
                    f"{words} back: difference {apart:.2f} CPU-s;"
                    f" SQL {then:.2f} CPU-s, {then / max(now, 1e-3):.0f} times that of now"
                )


if __name__ == "__main__":
    main()
