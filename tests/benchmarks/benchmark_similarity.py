"""What the neighbour graph costs against the machine's matrix products, and a change against the whole graph.

Run as ``python -m tests.benchmarks.benchmark_similarity [rows] [dimensions]``. The reference is the symmetric dense
limit: the CPU time of rows^2 x dimensions floating-point operations at the single-precision matrix-product rate of this
machine, measured between the other measurements.
"""

import resource
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brain_assets.methods.similarity.similarity import (
    NeighborGraph,
    build_graph,
    normalize,
    radius_pairs,
    search,
    update_graph,
)
from tests.helpers import assert_same_neighbours

Vectors = NDArray[np.float32]


def timed(action: Callable[[], Any]) -> tuple[float, Any]:
    start = time.process_time()
    result = action()
    return time.process_time() - start, result


def clustered_vectors(rows: int, dimensions: int, seed: int = 0) -> Vectors:
    """Return unit vectors of some forty intrinsic dimensions in a hundred clusters; one in a hundred is a near copy."""
    generator = np.random.default_rng(seed)
    centres = generator.standard_normal((100, 40))
    latent = centres[generator.integers(0, 100, rows)] + 0.5 * generator.standard_normal((rows, 40))
    vectors = latent @ generator.standard_normal((40, dimensions)) / 6
    vectors += 0.3 * generator.standard_normal((rows, dimensions))
    copies, originals = generator.integers(0, rows, (2, rows // 100))
    vectors[copies] = vectors[originals] + 0.05 * generator.standard_normal((len(copies), dimensions))
    return normalize(vectors.astype(np.float32))


def product_rate(vectors: Vectors) -> float:
    """Return floating-point operations per CPU second of a product of distinct matrices."""
    left, right = vectors[:2048].copy(), vectors[-2048:].copy()
    seconds = min(timed(lambda: left @ right.T)[0] for _ in range(4))
    return 2 * len(left) * len(right) * left.shape[1] / seconds


def changes(graph: NeighborGraph, vectors: Vectors, spare: Vectors) -> dict[str, float]:
    """Return the CPU seconds of some typical updates."""
    rows, count = len(vectors), len(spare)
    same, gone = np.arange(rows), np.arange(rows)
    gone[:count] = -1
    longer = np.concatenate([vectors, spare])
    cases = {
        f"+{count}": (longer, same),
        f"-{count}": (vectors[count:], np.where(gone < 0, -1, gone - count)),
        f"{count} changed": (longer[count:], np.where(gone < 0, -1, gone - count)),
        "nothing": (vectors, same),
    }
    return {name: timed(lambda case=case: update(graph, *case))[0] for name, case in cases.items()}


def update(graph: NeighborGraph, vectors: Vectors, kept: NDArray[np.int64]) -> None:
    update_graph(graph, vectors, np.arange(len(vectors)), kept)


def faiss_neighbours(vectors: Vectors, count: int) -> tuple[NDArray[np.int64], Vectors]:
    import faiss

    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    closeness, ids = index.search(vectors, count + 1)
    others = ids != np.arange(len(ids))[:, None]
    others[others.all(axis=1), -1] = False
    return ids[others].reshape(-1, count), 1 - closeness[others].reshape(-1, count)


def main(rows: int = 20_000, dimensions: int = 1280) -> None:
    vectors = clustered_vectors(rows + 100, dimensions)
    vectors, spare = vectors[:rows], vectors[rows:]
    rates = [product_rate(vectors)]
    building, graph = timed(lambda: build_graph(vectors, np.arange(rows)))
    rates.append(product_rate(vectors))
    rate = statistics.mean(rates)
    limit = rows**2 * dimensions / rate
    print(f"{rows} x {dimensions}; products {rates[0] / 1e9:.0f} and {rates[1] / 1e9:.0f} GFLOP per CPU-s")
    print(f"graph of 32 neighbours: {building:.2f} CPU-s, {limit / building:.2f} of the symmetric dense limit")
    for name, seconds in changes(graph, vectors, spare).items():
        print(f"update, {name}: {seconds:.3f} CPU-s, {seconds / building:.2%} of the graph")
    radius = float(np.quantile(graph.distances[:, 0], 0.05))
    seconds, pairs = timed(lambda: radius_pairs(vectors, graph, radius))
    print(f"{len(pairs[0])} pairs within {radius:.3f}: {seconds:.3f} CPU-s, {seconds / building:.2%} of the graph")
    seconds, _ = timed(lambda: search(vectors, vectors[:1], 15))
    print(f"one query by vector: {seconds:.3f} CPU-s")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")
    seconds, (ids, distances) = timed(lambda: faiss_neighbours(vectors, 20))
    assert_same_neighbours(graph.neighbors[:, :20], graph.distances[:, :20], ids, distances)
    print(f"faiss IndexFlatIP: {seconds:.2f} CPU-s, {seconds / building:.2f} times ours; same neighbours but for ties")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
