"""Tell the histories of some seeds, and print which go wrong: ``python -m tests.simulation --seeds 1-1000``."""

from functools import partial

from tests import seeds
from tests.simulation.history import problem


def main() -> None:
    """Tell them."""
    parser = seeds.parser("tests.simulation", "history", __doc__)
    parser.add_argument("--log", action="store_true", help="print what happened in those that go wrong")
    given = parser.parse_args()
    seeds.tell(given, "histories", partial(problem, log=given.log))


if __name__ == "__main__":
    main()
