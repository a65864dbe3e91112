"""What ``dataset.yaml`` said when it was last used, so that a setting that disappears is told.

A file that is cut short is often valid YAML: the settings at its end are gone, and with them their labels or models, without a
word. Every run keeps a copy of the declaration it worked with, and of the one before.
"""

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from brain_assets.resources.errors import ConfigurationError
from brain_assets.resources.settings.home import DatasetPaths
from brain_assets.resources.written_yaml import settings_in

# How long it is told that settings are gone, once a run has noticed.
TOLD_SECONDS = 7 * 86_400
SHOWN = 5


def require_whole(paths: DatasetPaths) -> None:
    """Refuse a declaration that was cut short.

    Raises
    ------
    ConfigurationError
        If the file is the beginning of what it was, and ends within a line.
    """
    now, before = _text(paths.config), _text(paths.kept_declaration)
    if now is None or before is None or len(now) >= len(before):
        return
    if before.startswith(now) and before.endswith("\n") and not now.endswith("\n"):
        raise ConfigurationError(
            f"{paths.config} was cut short: it has the first {len(now)} of {len(before)} characters, without"
            f" {_listed(gone(before, now))}; 'brain doctor {paths.name} --repair' puts it back, or end the last line where it is"
            " meant so"
        )


def keep(paths: DatasetPaths) -> list[str]:
    """Keep a copy of the declaration, and of the former one where it is another; return which settings are gone."""
    now, before = _text(paths.config), _text(paths.kept_declaration)
    if now is None or now == before:
        return []
    paths.backups.mkdir(exist_ok=True)
    draft = paths.kept_declaration.with_suffix(".draft")
    draft.write_text(now, "utf-8")
    if before is not None:
        paths.kept_declaration.replace(paths.former_declaration)
        # When it was replaced, not when it was written.
        os.utime(paths.former_declaration)
    draft.replace(paths.kept_declaration)
    return gone(before, now) if before is not None else []


def forget(paths: DatasetPaths) -> None:
    """Have the declaration as it is now count as the one that was used: a command has taken something out of it."""
    keep(paths)
    paths.former_declaration.unlink(missing_ok=True)


def told(paths: DatasetPaths) -> str | None:
    """Return in a line which settings are gone from a declaration, None where none are or it is a week ago."""
    now, kept, former = map(_text, (paths.config, paths.kept_declaration, paths.former_declaration))
    if now is None:
        return None
    if kept is not None and (missing := gone(kept, now)):
        return f"dataset.yaml no longer says {_listed(missing)}, as it did when it was last used"
    if former is None or not (missing := gone(former, now)):
        return None
    since = paths.former_declaration.stat().st_mtime
    if time.time() - since > TOLD_SECONDS:
        return None
    moment = f"{datetime.fromtimestamp(since, UTC):%Y-%m-%d %H:%M} UTC"
    return (
        f"dataset.yaml no longer says {_listed(missing)} (since {moment}; as it was before: {paths.former_declaration})"
    )


def gone(before: str, now: str) -> list[str]:
    r"""Return what a YAML text sets and another does not any more: dotted keys, and in lists what no entry says.

    Examples
    --------
    >>> gone("media: a\nsimilarity:\n  k: 5\nlabels:\n- {uri: x}\n- {uri: y}\n", "media: b\nlabels:\n- {uri: x}\n")
    ['similarity.k', 'labels (1 of 2)']
    """
    return list(_gone("", _tree(before), _tree(now)))


def _gone(prefix: str, before: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    for key, value in before.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            other = now.get(key)
            yield from _gone(f"{name}.", value, other if isinstance(other, dict) else {})
        elif value is not None and now.get(key) is None:
            yield name
        elif isinstance(value, list) and isinstance(now[key], list) and len(now[key]) < len(value):
            yield f"{name} ({len(value) - len(now[key])} of {len(value)})"


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more if names else "what followed"


def _tree(text: str) -> dict[str, Any]:
    try:
        loader, node = settings_in(text)
        tree = loader.construct_document(node) if node else None
    except yaml.YAMLError:
        return {}
    return tree if isinstance(tree, dict) else {}


def _text(path: Path) -> str | None:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return None
