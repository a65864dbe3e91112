"""The names of distances and of ways to combine them, without anything that computes."""

from typing import Literal, get_args

Metric = Literal[
    "cosine",
    "euclidean",
    "dotproduct",
    "manhattan",
    "chebyshev",
    "canberra",
    "braycurtis",
    "correlation",
    "l1",
    "l2",
    "linf",
]
METRICS: tuple[str, ...] = get_args(Metric)
# What some are called elsewhere.
CALLED = {"l1": "manhattan", "l2": "euclidean", "linf": "chebyshev"}
Aggregation = Literal["mean", "post-mean", "post-min", "post-max"]
AGGREGATIONS: tuple[str, ...] = get_args(Aggregation)
