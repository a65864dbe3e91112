"""Representativeness of 50 000 vectors of 512 dimensions against scikit-learn's MiniBatchKMeans, CPU seconds.

Run as ``python -m tests.benchmarks.benchmark_representativeness``; the machine's speed cancels in the ratios.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.cluster import MiniBatchKMeans

from brain_assets.methods.similarity.representativeness import assign, centrality, fit_centers, normalized

SAMPLES, DIMENSIONS, CLUSTERS = 50_000, 512, 20


def clustered(count: int, dimensions: int, clusters: int = 50) -> np.ndarray:
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(clusters, dimensions)).astype(np.float32)
    vectors = centers[rng.integers(clusters, size=count)] + rng.normal(size=(count, dimensions)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    started = time.process_time()
    result = work()
    return time.process_time() - started, result


def ours(vectors: np.ndarray) -> np.ndarray:
    assignment = assign(vectors, fit_centers(vectors, CLUSTERS))
    return normalized(centrality(assignment.distance), assignment.cluster)


def main() -> None:
    vectors = clustered(SAMPLES, DIMENSIONS)
    ours(vectors[:1000])
    MiniBatchKMeans(CLUSTERS, random_state=0).fit(vectors[:1000])
    reference, model = seconds(lambda: MiniBatchKMeans(CLUSTERS, random_state=0).fit(vectors))
    full, _ = seconds(lambda: ours(vectors))
    centers = fit_centers(vectors, CLUSTERS)
    added, _ = seconds(lambda: assign(vectors[:500], centers))
    spread = np.mean(assign(vectors, centers).distance.astype(np.float64) ** 2) * SAMPLES / model.inertia_
    print(f"MiniBatchKMeans.fit              {reference:7.3f} CPU-s")
    print(f"fit, assign, score               {full:7.3f} CPU-s = {full / reference:.2f} of it (target 2)")
    print(f"500 new samples join             {added:7.3f} CPU-s = {added / full:.3f} of the full run")
    print(f"inertia                          {spread:7.3f} of MiniBatchKMeans'")


if __name__ == "__main__":
    main()
