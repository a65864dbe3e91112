"""How many threads the linear algebra may use."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Keep BLAS on one thread while the block runs.

    Many small products gain nothing from more, and threads that wait for the next one burn whole cores: the work around
    them is spread over the cores already.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"):
        yield
