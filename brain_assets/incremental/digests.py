"""Which subjects have to be judged again: those whose inputs are other than when they were judged.

Beside its rows, a run keeps a digest of everything that each subject was judged by. What differs, came or went is found by
comparing digests, whatever way it came to differ: no signal has to know which of the tables behind its inputs changed.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from brain_assets.resources.store.store import Store, Transaction

# Rows of inputs that are handed over at once.
BATCH = 1 << 16
# Rows that are laid aside at once where they are handed over in several batches.
HELD = 1 << 18
TOGETHER = 1 << 62


@dataclass(frozen=True)
class Slice:
    """Subjects that are judged by the same things.

    Attributes
    ----------
    query : str
        One row per subject: its key, and all that it is judged by.
    context : str
        What all of them are judged by too, such as a calibration.
    given : object
        Handed to the judge with the rows; follows from the context.
    batch : int
        Most rows that the judge is given at once.
    narrow : bool
        Whether rows are so small that all are laid aside when they are compared, and the query is answered once.
    """

    query: str
    context: str = ""
    given: Any = None
    batch: int = BATCH
    narrow: bool = False


@dataclass(frozen=True)
class Stale:
    """Subjects that have to be judged again.

    Attributes
    ----------
    rows : pyarrow.Table
        Their rows of the slice's query.
    given : object
        Of their slice.
    among : str
        SQL condition on a table that has the key's columns: rows of these subjects.
    first, last : int
        Their places among all that are stale.
    """

    rows: pa.Table
    given: Any
    among: str
    first: int
    last: int


class Digests:
    """The digests of one run's subjects, compared with what there is now.

    Parameters
    ----------
    store : Store
    owner : tuple of str
        The signal and the run.
    key : sequence of str
        Columns that name a subject.
    part : str
        Tells apart several kinds of subjects of one run.
    """

    def __init__(self, store: Store, owner: tuple[str, str], key: Sequence[str], part: str = "") -> None:
        self.store, self.owner, self.key, self.part = store, [*owner, part], key, part
        self.subject = key[0] if len(key) == 1 else f"concat_ws(chr(31), {', '.join(key)})"
        self.names = f"({', '.join(key)})" if len(key) > 1 else key[0]
        self.store.rows(
            "create or replace temp table present (subject varchar, digest ubigint)",
        )

    def stale(self, one: Slice) -> Iterator[Stale]:
        """Compare a slice with what was seen of it, and yield what has to be judged again, a batch at a time.

        A batch must have been committed, with `remember`, before the next is asked for.
        """
        count = self.compare(one.query, one.context, narrow=one.narrow)
        held = max(HELD // one.batch, 1) * one.batch
        for first in range(0, count, one.batch):
            last = min(first + one.batch, count)
            within = f"(select subject from outdated where place >= {first} and place < {last})"
            if one.narrow:
                rows = self.store.query(f"select row_.* from outdated where place >= {first} and place < {last}")
            elif count <= one.batch:
                rows = self.store.query(f"select row_.* from ({one.query}) row_ where {self.subject} in {within}")
            else:
                if first % held == 0:
                    self._hold(one.query, first, first + held)
                rows = self.store.query(
                    f"select * exclude (place_) from held where place_ >= {first} and place_ < {last}"
                )
            yield Stale(rows, one.given, f"{self.subject} in {within}", first, last)
        self.store.rows("drop table if exists temp.held")

    def _hold(self, query: str, first: int, last: int) -> None:
        """Lay the rows of some subjects aside: each batch would else have the query answered of all that there are."""
        self.store.rows(f"""
            create or replace temp table held as select row_.*, place_ from ({query}) row_
            join (select subject as subject_, place as place_ from outdated where place >= {first} and place < {last})
                on subject_ = {self.subject}""")

    def compare(self, query: str, context: str = "", *, narrow: bool = False) -> int:
        """Find the subjects that are new or differ from what was seen, and return how many there are.

        Parameters
        ----------
        query : str
            One row per subject.
        context : str
            What all of them are judged by too.
        narrow : bool
            Whether to lay their rows aside, too.
        """
        # Read here by a statement that makes a table: a run in which nothing is stale has read them, too.
        self.store.note(query)
        self.store.rows(
            f"create or replace temp table inputs as select {self.subject} as subject, hash(row_, ?) as digest"
            f"{', row_' if narrow else ''} from ({query}) row_",
            [context],
        )
        self.store.rows("insert into present select subject, digest from inputs")
        self.store.rows(
            "create or replace temp table outdated as select *, row_number() over (order by subject) - 1 as place from inputs"
            " anti join (from seen where asset = ? and brain_key = ? and part = ?) using (subject, digest)",
            self.owner,
        )
        return int(self.store.value("select count(*) from outdated"))

    def remember(self, transaction: Transaction, stale: Stale | None = None) -> None:
        """Keep, with the rows that were judged, what they were judged by; all that was compared without ``stale``."""
        where = f"place >= {stale.first} and place < {stale.last}" if stale else "true"
        transaction.execute(
            "delete from seen where asset = ? and brain_key = ? and part = ?"
            f" and subject in (select subject from outdated where {where})",
            self.owner,
        )
        transaction.execute(f"insert into seen select ?, ?, ?, subject, digest from outdated where {where}", self.owner)

    @property
    def gone(self) -> str:
        """SQL condition on a table that has the key's columns: rows of subjects that no slice has any more."""
        return f"{self.subject} not in (select subject from present)"

    def forget(self, transaction: Transaction) -> None:
        """Forget the digests of subjects that are gone."""
        transaction.execute(
            "delete from seen where asset = ? and brain_key = ? and part = ? and subject not in (select subject from present)",
            self.owner,
        )


def slices(query: str | Iterable[Slice]) -> Iterable[Slice]:
    """Return a single query as the only slice."""
    return [Slice(query)] if isinstance(query, str) else query
