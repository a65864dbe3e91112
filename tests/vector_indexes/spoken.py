"""Servers of the test that speak the documented protocols of what no package brings: only what clients here ask for.

They refuse what the documentation says is wrong, such as a vector of another width, so that a client that asks wrongly fails.
"""

import http.server
import json
import socketserver
import struct
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np

Rows = dict[str, dict[str, Any]]
MOST = 10_000


class Refusal(Exception):
    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def closeness(kind: str, query: list[float], vector: list[float]) -> float:
    first, second = np.array(query), np.array(vector)
    if kind in ("max_inner_product", "innerproduct", "dotproduct", "dotProduct"):
        return float(first @ second)
    if kind == "cosine":
        return float(first @ second / np.linalg.norm(first) / np.linalg.norm(second))
    if kind in ("l2_norm", "l2", "euclidean"):
        return -float(np.linalg.norm(first - second))
    if kind == "l1":
        return -float(np.abs(first - second).sum())
    raise Refusal(400, f"unknown similarity {kind}")


def ranked(rows: Mapping[str, list[float]], kind: str, query: list[float], count: int) -> list[tuple[str, float]]:
    scored = [(name, closeness(kind, query, vector)) for name, vector in rows.items()]
    return sorted(scored, key=lambda one: -one[1])[:count]


class SearchEngine(http.server.BaseHTTPRequestHandler):
    """Elasticsearch 9 and OpenSearch 3: indices, mappings, bulk, count, search."""

    indices: dict[str, dict[str, Any]]
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def handle_any(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length).decode()
        try:
            status, answer = 200, self.answer([part for part in urlsplit(self.path).path.split("/") if part], body)
        except Refusal as refusal:
            status, answer = (
                refusal.status,
                {"error": {"type": "refused", "reason": str(refusal)}, "status": refusal.status},
            )
        data = b"" if self.command == "HEAD" else json.dumps(answer).encode()
        self.send_response(status)
        accepted = self.headers.get("Accept", "")
        kind = "application/json" if "vnd.elasticsearch" not in accepted else accepted.split(",")[0]
        for name, value in (
            ("Content-Type", kind),
            ("X-Elastic-Product", "Elasticsearch"),
            ("Content-Length", str(len(data))),
        ):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = handle_any

    def answer(self, parts: list[str], body: str) -> Any:
        if parts == ["_bulk"]:
            return self.bulk([json.loads(line) for line in body.splitlines() if line])
        name, action = parts[0], parts[1] if len(parts) > 1 else self.command
        if action == "PUT":
            return self.create(name, json.loads(body))
        if name not in self.indices:
            raise Refusal(404, f"no such index [{name}]")
        index, given = self.indices[name], json.loads(body or "{}")
        if action == "DELETE":
            del self.indices[name]
            return {"acknowledged": True}
        if action == "_mapping":
            index["mappings"].update(given)
            return {name: {"mappings": index["mappings"]}}
        if action == "_count":
            return {"count": len(index["rows"])}
        return {"hits": {"hits": self.search(index, given)}} if action == "_search" else {}

    def create(self, name: str, given: dict[str, Any]) -> Any:
        vector = given["mappings"]["properties"]["vector"]
        kind, wanted = vector["type"], {"dense_vector": {"dims", "similarity"}, "knn_vector": {"dimension"}}
        if name in self.indices or not wanted.get(kind, {"?"}) <= vector.keys() or name != name.lower():
            raise Refusal(400, "the index exists already, or its mapping is wrong")
        self.indices[name] = {"mappings": given["mappings"], "rows": {}, "similarity": vector.get("similarity", "")}
        return {"acknowledged": True, "index": name}

    def bulk(self, lines: list[dict[str, Any]]) -> Any:
        items, errors, rest = [], False, iter(lines)
        for line in rest:
            ((action, where),) = line.items()
            rows: Rows = self.indices[where["_index"]]["rows"]
            if action == "delete":
                found = rows.pop(where["_id"], None)
                items.append({"delete": {"_id": where["_id"], "status": 200 if found else 404}})
                continue
            row, vector = next(rest), self.indices[where["_index"]]["mappings"]["properties"]["vector"]
            if len(row["vector"]) != vector.get("dims", vector.get("dimension")):
                errors = True
                items.append({"index": {"_id": where["_id"], "status": 400, "error": {"reason": "other dimensions"}}})
            else:
                rows[where["_id"]] = row
                items.append({"index": {"_id": where["_id"], "status": 200}})
        return {"errors": errors, "items": items}

    def search(self, index: dict[str, Any], asked: dict[str, Any]) -> list[dict[str, Any]]:
        vectors = {name: row["vector"] for name, row in index["rows"].items()}
        if "knn" in asked:
            near = asked["knn"]
            if not 1 <= near["k"] <= near["num_candidates"] <= MOST:
                raise Refusal(400, "[num_candidates] must be at least [k] and at most 10000")
            found = ranked(vectors, index["similarity"], near["query_vector"], near["k"])
        elif "query" in asked:
            script = asked["query"]["script_score"]["script"]
            assert (script["lang"], script["source"]) == ("knn", "knn_score")
            given = script["params"]
            found = ranked(vectors, given["space_type"], given["query_value"], MOST)
        else:
            after = asked.get("search_after", [""])[0]
            found = [(name, 0.0) for name in sorted(vectors) if name > after]
        return [{"_id": name, "_score": score, "sort": [name]} for name, score in found[: asked["size"]]]


class Pinecone(http.server.BaseHTTPRequestHandler):
    """Pinecone's data plane: upsert, query, fetch, list, delete, describe_index_stats."""

    namespaces: dict[str, Rows]
    width = 16
    metric = "cosine"
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def handle_any(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        url = urlsplit(self.path)
        given = json.loads(self.rfile.read(length) or b"{}") | parse_qs(url.query)
        try:
            if not self.headers.get("Api-Key"):
                raise Refusal(401, "no key")
            status, answer = 200, self.answer(url.path, given)
        except Refusal as refusal:
            status, answer = refusal.status, {"message": str(refusal), "code": 3}
        data = json.dumps(answer).encode()
        self.send_response(status)
        for name, value in (("Content-Type", "application/json"), ("Content-Length", str(len(data)))):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = handle_any

    def answer(self, path: str, given: dict[str, Any]) -> Any:
        if path == "/describe_index_stats":
            counts = {name: {"vectorCount": len(rows)} for name, rows in self.namespaces.items() if rows}
            total = sum(len(rows) for rows in self.namespaces.values())
            return {"namespaces": counts, "dimension": self.width, "totalVectorCount": total, "metric": self.metric}
        namespace = given.get("namespace", "")
        rows = self.namespaces.setdefault(namespace[0] if isinstance(namespace, list) else namespace, {})
        if path == "/vectors/upsert":
            if any(len(one["values"]) != self.width for one in given["vectors"]):
                raise Refusal(400, "Vector dimension does not match the dimension of the index")
            rows.update({one["id"]: one for one in given["vectors"]})
            return {"upsertedCount": len(given["vectors"])}
        if path == "/vectors/fetch":
            return {"vectors": {one: rows[one] for one in given["ids"] if one in rows}, "namespace": ""}
        if path == "/vectors/delete":
            for one in list(rows) if given.get("deleteAll") else given["ids"]:
                rows.pop(one, None)
            return {}
        if path == "/vectors/list":
            return self.page(sorted(rows), given)
        vectors = {name: row["values"] for name, row in rows.items()}
        found = ranked(vectors, self.metric, given["vector"], given["topK"])
        return {"matches": [{"id": name, "score": score} for name, score in found], "namespace": ""}

    def page(self, names: list[str], given: dict[str, Any]) -> Any:
        after = given.get("paginationToken", [""])[0]
        left = [name for name in names if name > after]
        further = {"pagination": {"next": left[99]}} if len(left) > 100 else {}
        return {"vectors": [{"id": name} for name in left[:100]], **further}


class Mongo(socketserver.BaseRequestHandler):
    """MongoDB's wire protocol (OP_MSG), with the commands of a collection and of vector search."""

    collections: dict[str, dict[str, Any]]

    def handle(self) -> None:
        import bson

        while head := self.request.recv(16, 0x100):
            length, number, _, kind = struct.unpack("<iiii", head)
            data = self.request.recv(length - 16, 0x100)
            body = self.command_of(data) if kind == 2013 else {"hello": 1}
            reply = {"ok": 1.0, **self.answer(body)}
            packed = bson.encode(reply)
            if kind == 2013:
                message = struct.pack("<iiiiIb", 21 + len(packed), 0, number, 2013, 0, 0) + packed
            else:
                message = struct.pack("<iiiiiqii", 36 + len(packed), 0, number, 1, 8, 0, 0, 1) + packed
            self.request.sendall(message)

    def command_of(self, data: bytes) -> dict[str, Any]:
        """Return the command of a message, with the sequences of documents that follow it."""
        import bson

        place, found = 4, {}
        while place < len(data):
            size = struct.unpack_from("<i", data, place + 1)[0]
            part = data[place + 1 : place + 1 + size]
            if data[place] == 0:
                found |= bson.decode(part)
            else:
                end = part.index(b"\0", 4)
                found[part[4:end].decode()] = list(bson.decode_iter(part[end + 1 :]))
            place += 1 + size
        return found

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        action, name = next(iter(body.items()))
        if action in ("hello", "ismaster", "isMaster"):
            return {
                "ismaster": True, "isWritablePrimary": True, "maxWireVersion": 27, "minWireVersion": 0, "helloOk": True,
                "maxBsonObjectSize": 16777216, "maxMessageSizeBytes": 48000000, "maxWriteBatchSize": 100000,
                "logicalSessionTimeoutMinutes": 30, "connectionId": 1, "readOnly": False,
            }  # fmt: skip
        if action == "listCollections":
            return self.cursor([{"name": one, "type": "collection"} for one in self.collections])
        if action in ("ping", "endSessions", "killCursors"):
            return {}
        if action == "drop":
            self.collections.pop(name, None)
            return {}
        held = self.collections.setdefault(name, {"rows": {}, "index": None})
        return getattr(self, f"on_{action.lower()}")(held, held["rows"], body)

    def cursor(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        return {"cursor": {"id": 0, "ns": "brain_assets.x", "firstBatch": rows}}

    def on_createsearchindexes(self, held: dict[str, Any], _: Rows, body: dict[str, Any]) -> dict[str, Any]:
        (index,) = body["indexes"]
        assert index["type"] == "vectorSearch"
        (held["index"],) = index["definition"]["fields"]
        return {"indexesCreated": [{"id": "1", "name": index["name"]}]}

    def on_update(self, _: dict[str, Any], rows: Rows, body: dict[str, Any]) -> dict[str, Any]:
        for one in body["updates"]:
            rows[one["q"]["_id"]] = {"_id": one["q"]["_id"], **one["u"]}
        return {"n": len(body["updates"]), "nModified": len(body["updates"])}

    def on_delete(self, _: dict[str, Any], rows: Rows, body: dict[str, Any]) -> dict[str, Any]:
        gone = [one for one in body["deletes"][0]["q"]["_id"]["$in"] if rows.pop(one, None)]
        return {"n": len(gone)}

    def on_find(self, _: dict[str, Any], rows: Rows, body: dict[str, Any]) -> dict[str, Any]:
        wanted = body["filter"]["_id"]
        if isinstance(wanted, str):
            return self.cursor([rows[wanted]] if wanted in rows else [])
        left = sorted(one for one in rows if one > wanted["$gt"])
        return self.cursor([{"_id": one} for one in left[: body["limit"]]])

    def on_aggregate(self, held: dict[str, Any], rows: Rows, body: dict[str, Any]) -> dict[str, Any]:
        first = body["pipeline"][0]
        if "$listSearchIndexes" in first:
            return self.cursor([{"name": "vectors", "queryable": True}] if held["index"] else [])
        if "$match" in first:
            return self.cursor([{"_id": 1, "n": len(rows.keys() - {first["$match"]["_id"]["$ne"]})}])
        near, index = first["$vectorSearch"], held["index"]
        assert len(near["queryVector"]) == index["numDimensions"]
        vectors = {name: row["vector"] for name, row in rows.items() if "vector" in row}
        found = ranked(vectors, index["similarity"], near["queryVector"], near["limit"])
        return self.cursor([{"_id": name} for name, _ in found])


@contextmanager
def speaking(handler: Any, **held: Any) -> Iterator[int]:
    """Serve a protocol on a port of this machine for as long as the block runs; return the port."""
    kind = type(handler.__name__, (handler,), held)
    server_class = http.server.ThreadingHTTPServer if hasattr(handler, "do_GET") else socketserver.ThreadingTCPServer
    with server_class(("127.0.0.1", 0), kind) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()
