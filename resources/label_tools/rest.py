"""What all label tools' servers are asked by: JSON over HTTP, with every failure in one line."""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from brain_assets.resources.errors import ConfigurationError, SourceError

CONNECT_SECONDS, READ_SECONDS = 10, 120
SHOWN = 200
# A file of a form: its name, its bytes, and what kind it is.
Upload = tuple[str, bytes, str]
Headers = Callable[[], Mapping[str, str]]


class Rest:
    """A server with a JSON API.

    Parameters
    ----------
    url : str
        Of the server, with the path below which it serves, if any.
    title : str
        What people call it.
    headers : callable
        Returns the headers that say who asks.
    advice : str
        What to do where the server does not accept them.

    Raises
    ------
    ConfigurationError
        If ``url`` is no address of the web.
    """

    def __init__(self, url: str, title: str, headers: Headers, advice: str) -> None:
        if urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).netloc:
            raise ConfigurationError(f"{url!r} is no address of a server: write http://HOST:PORT or https://HOST")
        self.url, self.title, self.headers, self.advice = url.rstrip("/"), title, headers, advice

    @cached_property
    def _pool(self) -> Any:
        import urllib3

        # Only what can be asked twice without harm is asked again by itself.
        retries = urllib3.Retry(2, backoff_factor=0.5, status_forcelist=(429, 502, 503, 504), raise_on_status=False)
        timeout = urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS)
        return urllib3.PoolManager(retries=retries, timeout=timeout)

    def get(self, path: str, **query: object) -> Any:
        """Return what the server answers to GET."""
        return self._ask("GET", path, fields={name: str(value) for name, value in query.items()})

    def post(self, path: str, body: object, **query: object) -> Any:
        """Return what the server answers to a body of JSON."""
        return self._ask("POST", self._with(path, query), json=body)

    def put(self, path: str, body: object) -> Any:
        """Return what the server answers to a body of JSON that replaces what it has."""
        return self._ask("PUT", path, json=body)

    def delete(self, path: str) -> None:
        """Delete something."""
        self._ask("DELETE", path)

    def upload(self, path: str, files: Sequence[tuple[str, Upload]], values: Mapping[str, str], **query: object) -> Any:
        """Return what the server answers to a form with files, each under the name of its field."""
        return self._ask("POST", self._with(path, query), fields=[*values.items(), *files])

    @staticmethod
    def _with(path: str, query: Mapping[str, object]) -> str:
        from urllib.parse import urlencode

        return f"{path}?{urlencode(query)}" if query else path

    def _ask(self, method: str, path: str, **given: Any) -> Any:
        import urllib3

        try:
            answer = self._pool.request(method, self.url + path, headers=dict(self.headers()), **given)
        except urllib3.exceptions.HTTPError as error:
            raise SourceError(f"{self.title} at {self.url} cannot be reached: {_line(error)}") from None
        if answer.status in {401, 403}:
            raise SourceError(f"{self.title} at {self.url} refuses {method} {path} ({answer.status}): {self.advice}")
        if answer.status >= 400:
            said = " ".join(answer.data.decode("utf-8", "replace").split())[:SHOWN]
            raise SourceError(f"{self.title} at {self.url} answers {answer.status} to {method} {path}: {said}")
        try:
            return json.loads(answer.data) if answer.data else None
        except ValueError:
            raise SourceError(
                f"{self.title} at {self.url} answers {method} {path} with something that is no JSON"
            ) from None


def _line(error: Exception) -> str:
    reason = getattr(error, "reason", None) or error
    return " ".join(str(reason).split())[:SHOWN]
