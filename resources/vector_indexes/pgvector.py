"""PostgreSQL with the extension pgvector."""

import hashlib
import struct
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from brain_assets.resources.vector_indexes.door import Collection, Matrix, Place, VectorIndex, credential

BATCH = 10_000
# More candidates than this an HNSW index does not look at.
EF = 1000
# Operator, and operator class of an index.
METRICS = {
    "cosine": ("<=>", "vector_cosine_ops"), "euclidean": ("<->", "vector_l2_ops"), "dotproduct": ("<#>", "vector_ip_ops"),
    "manhattan": ("<+>", "vector_l1_ops"),
}  # fmt: skip
DEFAULT_URL = "postgresql://127.0.0.1"


class PgvectorCollection:
    """A table of ids and vectors, whose comment is the stamp."""

    def __init__(self, place: Place) -> None:
        import psycopg

        self.place = place
        self.operator, self.operators = METRICS[place.metric]
        self.is_exact = not place.options
        self.connection: Any = psycopg.connect(
            place.url or DEFAULT_URL, password=credential("pgvector", "password"), autocommit=True, connect_timeout=10
        )

    @property
    def table(self) -> Any:
        from psycopg import sql

        return sql.Identifier(self.place.collection)

    def _run(self, query: str, parameters: Sequence[Any] = (), **parts: Any) -> list[tuple[Any, ...]]:
        from psycopg import sql

        cursor = self.connection.execute(sql.SQL(query).format(table=self.table, **parts), parameters)
        return list(cursor.fetchall()) if cursor.description else []

    def stamp(self) -> str | None:
        name = '"' + self.place.collection.replace('"', '""') + '"'
        found = self._run("select obj_description(to_regclass(%s), 'pg_class'), to_regclass(%s) is null", [name, name])
        comment, is_absent = found[0]
        return None if is_absent else comment or ""

    def create(self, stamp: str) -> None:
        from psycopg import sql

        width = sql.Literal(self.place.width)
        with self.connection.transaction():
            self._run("create extension if not exists vector")
            self.drop()
            self._run("create table {table} (id text primary key, vector vector({width}) not null)", width=width)
            self._comment(stamp)

    def mark(self, stamp: str) -> None:
        # An index of vectors that are there takes a fraction of what each of them costs one that is there already.
        if self.place.options:
            self._index(dict(self.place.options))
        self._comment(stamp)

    def _comment(self, stamp: str) -> None:
        from psycopg import sql

        self._run("comment on table {table} is {stamp}", stamp=sql.Literal(stamp))

    def _index(self, options: dict[str, Any]) -> None:
        from psycopg import sql

        kind = sql.Identifier(str(options.pop("index", "hnsw")))
        given = sql.SQL(", ").join(
            sql.SQL("{} = {}").format(sql.Identifier(name), sql.Literal(value)) for name, value in options.items()
        )
        name = sql.Identifier(_index_name(self.place.collection))
        self._run(
            "create index if not exists {name} on {table} using {kind} (vector {operators})"
            + (" with ({given})" if options else ""),
            name=name, kind=kind, operators=sql.Identifier(self.operators), given=given,
        )  # fmt: skip

    def count(self) -> int:
        return int(self._run("select count(*) from {table}")[0][0])

    def ids(self) -> Iterator[Sequence[str]]:
        last = ""
        while found := self._run(f"select id from {{table}} where id > %s order by id limit {BATCH}", [last]):
            yield [row[0] for row in found]
            last = found[-1][0]

    def put(self, ids: Sequence[str], vectors: Matrix) -> None:
        from psycopg import sql

        width = sql.Literal(self.place.width)
        with self.connection.transaction(), self.connection.cursor() as cursor:
            self._run("create temp table incoming (id text, vector vector({width})) on commit drop", width=width)
            with cursor.copy("copy incoming from stdin (format binary)") as copy:
                copy.write(_binary(ids, vectors))
            self._run(
                "insert into {table} select distinct on (id) id, vector from incoming"
                " on conflict (id) do update set vector = excluded.vector"
            )

    def delete(self, ids: Sequence[str]) -> None:
        self._run("delete from {table} where id = any(%s)", [list(ids)])

    def search(self, vector: Matrix, k: int) -> Sequence[str]:
        if not self.is_exact:
            self._run(f"set hnsw.ef_search = {min(max(k, 40), EF)}")
        query = f"select id from {{table}} order by vector {self.operator} %s::vector limit %s"
        found = self._run(query, [_text(vector), k])
        return [row[0] for row in found]

    def drop(self) -> None:
        self._run("drop table if exists {table}")

    def close(self) -> None:
        self.connection.close()


def _index_name(collection: str) -> str:
    """Return a name of its own however long the collection's is: PostgreSQL cuts names at 63 letters."""
    return f"near_{hashlib.blake2b(collection.encode(), digest_size=16).hexdigest()}"


def _text(vector: Matrix) -> str:
    """Return a vector as PostgreSQL writes it."""
    return "[" + ",".join(map(repr, vector.tolist())) + "]"


def _binary(ids: Sequence[str], vectors: Matrix) -> bytes:
    """Return rows of an id and a vector as PostgreSQL's binary copies have them: lengths before values, highest byte first."""
    numbers = np.ascontiguousarray(vectors, ">f4")
    width = numbers.shape[1]
    parts = [b"PGCOPY\n\xff\r\n\0", struct.pack(">ii", 0, 0)]
    for one, row in zip(ids, numbers, strict=True):
        name = one.encode()
        parts += [struct.pack(">hi", 2, len(name)), name, struct.pack(">ihh", 4 + 4 * width, width, 0), row.tobytes()]
    return b"".join([*parts, struct.pack(">h", -1)])


class Pgvector:
    """PostgreSQL with pgvector."""

    name = "pgvector"
    title = "PostgreSQL with pgvector"
    metrics = frozenset(METRICS)
    most = 100_000

    def open(self, place: Place) -> Collection:
        return PgvectorCollection(place)


BACKENDS: dict[str, VectorIndex] = {"pgvector": Pgvector()}
