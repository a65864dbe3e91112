"""Splits of 100 000 samples in 10 000 groups: how far classes deviate from their shares, beside dealing groups out by chance.

``python -m tests.benchmarks.benchmark_splits``
"""

import argparse
import time

import numpy as np

from brain_assets.methods.splits.planning import NOWHERE, Bonds, leaking, plan

SHARES = [0.8, 0.1, 0.1]


def planted(samples: int, groups: int, classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return group and class of samples: groups of very different size, most of whose members are of a few classes."""
    random = np.random.default_rng(seed)
    weights = random.pareto(1.5, groups) + 0.2
    group = random.choice(groups, samples, p=weights / weights.sum())
    kinds = random.dirichlet(np.full(classes, 0.3), groups)
    return group, (kinds[group].cumsum(axis=1) > random.random((samples, 1))).argmax(axis=1)


def deviation(split: np.ndarray, kind: np.ndarray) -> float:
    """Return the largest difference of a class's share in a split from the share that was asked for."""
    total = np.bincount(kind)
    return max(
        abs(np.bincount(kind[split == one], minlength=len(total)) / total - share).max()
        for one, share in enumerate(SHARES)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("samples", 100_000), ("groups", 10_000), ("classes", 20), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    asked = parser.parse_args()
    group, kind = planted(asked.samples, asked.groups, asked.classes, asked.seed)
    none = np.zeros(0, np.int64)
    bonds = Bonds(np.arange(asked.samples), group, none, none, asked.samples, asked.groups)
    order = np.random.default_rng(asked.seed).integers(0, 1 << 62, asked.samples).astype(np.uint64)
    classes = np.arange(asked.samples), kind

    begun = time.process_time()
    found = plan(bonds, classes, np.full(asked.samples, NOWHERE), SHARES, order).split
    spent = time.process_time() - begun
    early = np.arange(asked.samples) < asked.samples * 10 // 11
    grown = plan(bonds, classes, np.where(early, found, NOWHERE), SHARES, order).split
    begun = time.process_time()
    chance = np.random.default_rng(asked.seed).choice(len(SHARES), asked.groups, p=SHARES)[group]
    reference = time.process_time() - begun
    print(f"largest group {np.bincount(group).max()}, rarest class {np.bincount(kind).min()} samples")
    print(
        f"planned: class deviation {deviation(found, kind):.3%}, leaking {len(leaking(bonds, found))}, {spent:.2f} CPU-s"
    )
    print(
        f"by chance: class deviation {deviation(chance, kind):.3%}; the plan takes {spent / reference:.0f} times as long"
    )
    print(
        f"a tenth more: moved {(grown[early] != found[early]).sum()}, left out {(grown < 0).sum()},"
        f" class deviation {deviation(grown, kind):.3%}"
    )


if __name__ == "__main__":
    main()
