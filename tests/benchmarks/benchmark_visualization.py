"""Maps from a graph that exists against umap-learn on the vectors, and new points that join a map; CPU seconds.

Run as ``python -m tests.benchmarks.benchmark_visualization [SAMPLES]``. Every measured step is a process of its own,
so that imports and the loading of compiled code count; the compiled code of both is in numba's cache, where numba can
keep it. The ratios, not the seconds, are to be compared between machines.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

SAMPLES, ADDED, DIMENSIONS, WIDTH = 20_000, 1_000, 512, 20


def clustered(count: int, first: int = 0, clusters: int = 50, seed: int = 0) -> np.ndarray:
    """Unit vectors around clusters of 12 dimensions each, a little noise in the others."""
    rng = np.random.default_rng(seed)
    label = first + rng.integers(clusters, size=count)
    vectors = 0.05 * rng.normal(size=(count, DIMENSIONS))
    for cluster in np.unique(label):
        own, rows = np.random.default_rng(1000 + cluster), np.flatnonzero(label == cluster)
        spread = rng.normal(size=(len(rows), 12)) @ own.normal(size=(12, DIMENSIONS)) / 12**0.5
        vectors[rows] += 0.7 * own.normal(size=DIMENSIONS) + 1.2 * spread
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def fit(folder: Path) -> Callable[[], None]:
    """Fit a map to a graph, from the principal axes of the vectors."""

    def run() -> None:
        from brain_assets.methods.similarity.layout import umap
        from brain_assets.methods.similarity.visualization import fit_pca, project

        vectors, graph = np.load(folder / "vectors.npy"), np.load(folder / "graph.npz")
        start = project(vectors, fit_pca(vectors))
        np.save(folder / "map.npy", umap(graph["neighbors"], graph["distances"], start))

    return run


def reference(folder: Path) -> Callable[[], None]:
    """Fit umap-learn to the vectors."""

    def run() -> None:
        import umap

        vectors = np.load(folder / "vectors.npy")
        np.save(folder / "map.npy", umap.UMAP(metric="cosine").fit(vectors).embedding_)

    return run


def added(folder: Path) -> Callable[[], None]:
    """Let new points join."""

    def run() -> None:
        from brain_assets.methods.similarity.layout import join

        case = np.load(folder / "joining.npz")
        np.save(folder / "joined.npy", join(case["old"], case["rows"], case["neighbors"], case["distances"]))

    return run


def refitted(folder: Path) -> Callable[[], None]:
    """Fit the old map anew after new points have joined."""

    def run() -> None:
        from brain_assets.methods.similarity.layout import refit

        graph = np.load(folder / "graph.npz")
        np.save(folder / "map.npy", refit(np.load(folder / "old.npy"), graph["neighbors"], graph["distances"]))

    return run


STEPS = {step.__name__: step for step in (fit, reference, added, refitted)}


def measured(step: str, folder: Path) -> tuple[float, float]:
    """Return the CPU seconds of a process that does the step: from its start, and those of a repetition."""
    command = [sys.executable, "-W", "ignore", "-m", __spec__.name, step, str(folder)]
    whole, again = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return float(whole), float(again)


def child(step: str, folder: Path) -> None:
    run = STEPS[step](folder)
    run()
    whole = time.process_time()
    if step == "added":
        run()
    print(whole, time.process_time() - whole)


def save_graph(folder: Path, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    from brain_assets.methods.similarity.similarity import build_graph

    graph = build_graph(vectors, np.arange(len(vectors)), width=WIDTH)
    np.save(folder / "vectors.npy", vectors)
    np.savez(folder / "graph.npz", neighbors=graph.neighbors, distances=graph.distances)
    return graph.neighbors, graph.distances


def compare_fits(folder: Path, vectors: np.ndarray) -> np.ndarray:
    from brain_assets.methods.similarity.visualization import trustworthiness

    save_graph(folder, vectors)
    seconds, quality = {}, {}
    for step in ("reference", "fit"):
        measured(step, folder)
        seconds[step], _ = measured(step, folder)
        quality[step] = trustworthiness(vectors, np.load(folder / "map.npy"))
        print(f"{step:12} {len(vectors):6} samples {seconds[step]:8.2f} CPU-s, trustworthiness {quality[step]:.4f}")
    print(f"fit takes {seconds['fit'] / seconds['reference']:.3f} of umap-learn's time (target .6), imports included")
    return np.asarray(np.load(folder / "map.npy"))


def compare_joins(folder: Path, old: np.ndarray, vectors: np.ndarray, name: str) -> None:
    from brain_assets.methods.similarity.visualization import trustworthiness

    neighbors, distances = save_graph(folder, vectors)
    rows = np.arange(len(old), len(vectors))
    gaps = np.full((len(rows), 2), np.nan, np.float32)
    before = np.concatenate([old, gaps])
    np.savez(folder / "joining.npz", old=before, rows=rows, neighbors=neighbors[rows], distances=distances[rows])
    whole, again = measured("added", folder)
    joined = np.concatenate([old, np.load(folder / "joined.npy")])
    np.save(folder / "old.npy", joined)
    warm, _ = measured("refitted", folder)
    anew = np.load(folder / "map.npy")
    moved = np.median(np.linalg.norm(anew - joined, axis=1)[: len(old)]) / (np.ptp(old, axis=0).max() / 2)
    cold, _ = measured("fit", folder)
    scratch = np.load(folder / "map.npy")
    joins, refits, fits = (trustworthiness(vectors, points) for points in (joined, anew, scratch))
    print(
        f"{len(rows)} of {name} join: {again:.3f} CPU-s (target .5), {whole:.2f} with imports and loading (target 2.5)"
    )
    print(
        f"    trustworthiness {joins:.4f}: {joins - refits:+.4f} of a refit, {joins - fits:+.4f} of a fit (target -.01)"
    )
    print(
        f"    refit {warm / cold:.2f} of a fit's time, imports included; old points move {moved:.1%} of the map's radius"
    )


def main(samples: int) -> None:
    vectors = clustered(samples)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        old = compare_fits(folder, vectors)
        for kind, more in (
            ("known clusters", clustered(ADDED, seed=1)),
            ("one unseen cluster", clustered(ADDED, first=50, clusters=1, seed=2)),
            ("five unseen clusters", clustered(ADDED, first=60, clusters=5, seed=3)),
        ):
            compare_joins(folder, old, np.concatenate([vectors, more]), kind)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        child(sys.argv[1], Path(sys.argv[2]))
    else:
        main(int(sys.argv[1]) if len(sys.argv) == 2 else SAMPLES)
