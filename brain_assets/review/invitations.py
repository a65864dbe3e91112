"""Links to the review page for people by name, kept as digests in the home until they are revoked.

Whoever comes by such a link is who the link was made for: what they say bears that name, whatever the page would send. It opens
the review page and nothing else.
"""

import hashlib
import hmac
import json
import os
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from brain_assets.resources.errors import ConfigurationError, MissingError

FILE = "invitations.json"
LONGEST_NAME = 100


class Invitations:
    """The invitations of a home.

    Parameters
    ----------
    home : Path
        Its folder.

    Examples
    --------
    >>> import tempfile
    >>> invitations = Invitations(Path(tempfile.mkdtemp()))
    >>> token = invitations.invite("ada")
    >>> invitations.bearer(token), invitations.bearer("guessed")
    ('ada', None)
    >>> invitations.revoke("ada")
    >>> invitations.bearer(token) is None
    True
    """

    def __init__(self, home: Path) -> None:
        self.path = home / FILE
        self._read: tuple[int, dict[str, Any]] = (0, {})

    def invite(self, name: str) -> str:
        """Return a token for somebody, in place of any that they had; raises ConfigurationError where it is no name."""
        if not name.strip() or len(name) > LONGEST_NAME or not name.isprintable():
            raise ConfigurationError(f"{name!r} is no name: give 1 to {LONGEST_NAME} characters that can be printed")
        token = secrets.token_urlsafe(24)
        since = datetime.now(UTC).isoformat(timespec="seconds")
        self._write(self._all() | {name.strip(): {"digest": _digest(token), "since": since}})
        return token

    def revoke(self, name: str) -> None:
        """Take an invitation back; who came by it is out at once. Raises MissingError where there is none."""
        known = dict(self._all())
        if name not in known:
            raise MissingError(f"nobody called {name!r} was invited (invited: {', '.join(sorted(known)) or 'nobody'})")
        del known[name]
        self._write(known)

    def since(self) -> dict[str, str]:
        """Return who was invited, and when."""
        return {name: str(one["since"]) for name, one in sorted(self._all().items())}

    def bearer(self, token: str) -> str | None:
        """Return whom a token was made for, None where it was made for nobody, or revoked."""
        digest = _digest(token)
        found = [name for name, one in self._all().items() if hmac.compare_digest(str(one["digest"]), digest)]
        return found[0] if found else None

    def holds(self, mark: str) -> bool:
        """Return whether an invitation that `mark` names holds still."""
        name, _, digest = mark.rpartition("\n")
        return str(self._all().get(name, {}).get("digest")) == digest

    def mark(self, name: str) -> str:
        """Return what names somebody's present invitation: another one by another token."""
        return f"{name}\n{self._all()[name]['digest']}"

    def _all(self) -> dict[str, Any]:
        """Return what the file holds, read again when it was written."""
        try:
            changed = self.path.stat().st_mtime_ns
            if changed != self._read[0]:
                self._read = changed, json.loads(self.path.read_text("utf-8"))
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise ConfigurationError(f"{self.path} cannot be read: {error}; remove it, and invite again") from None
        return self._read[1]

    def _write(self, known: dict[str, Any]) -> None:
        draft = self.path.with_suffix(".draft")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as handle:
            json.dump(known, handle, indent=1)
        draft.replace(self.path)
        self._read = (0, {})


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
