"""The state of a dataset: its samples, what is up to date, and what was found."""

import sqlite3
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import duckdb

from brain_assets.answers import table_formats
from brain_assets.answers.issues import COUNTED, expected_issues
from brain_assets.answers.published import code_state, failed
from brain_assets.assets import catalog
from brain_assets.assets.last_run import left_undone
from brain_assets.ingest.accounting import accounts, split_counts, splits_told
from brain_assets.ingest.reviews import REVIEW_STATE, state_of
from brain_assets.ingest.samples import source_told
from brain_assets.resources.errors import BrainError, ConfigurationError, MissingError, StoreError
from brain_assets.resources.label_formats.input_files import input_state
from brain_assets.resources.media.media_source import open_media
from brain_assets.resources.settings import remembered
from brain_assets.resources.settings.configuration import load_dataset
from brain_assets.resources.settings.home import DatasetPaths, Home
from brain_assets.resources.store import locks
from brain_assets.resources.store.events import Events
from brain_assets.resources.store.publishing import connect, damage, manifest

UP_TO_DATE, NOTHING = "up to date", "nothing published yet"


def status(home: Home, name: str) -> dict[str, Any]:
    """Return the state of a dataset, read from what is published and from its media source.

    Returns
    -------
    dict
        ``dataset``, ``samples``, ``errors``, ``dropped``, ``running`` (who works on it, or None), ``state`` (``up to date``
        or what is pending, and why the last run left it so), ``splits`` (name to samples, ``none`` for those without),
        ``split_from`` (where they come from), ``declaration`` (what dataset.yaml no longer says, in a line, or None),
        ``source`` (lines on what of the media are no samples), ``inputs`` (what became of the rows of labels and of
        predictions), ``assets`` (name to rows and last run), ``issues`` (name to count)
        and ``failed_runs`` (a line for each run that failed the last time).
    """
    paths = home.existing(name)
    running, (state, told) = locks.holder(paths.lock), _state(paths)
    if running is None and state != UP_TO_DATE and (undone := left_undone(home, name)):
        state = f"{state}; {undone}"
    found: dict[str, Any] = {
        "dataset": name,
        "running": running,
        "state": state,
        "samples": 0,
        "errors": 0,
        "dropped": 0,
        "splits": {},
        "split_from": _split_from(paths),
        "declaration": remembered.told(paths),
        "source": told,
        "inputs": [],
        "assets": {},
        "issues": {},
        "expected": {},
        "failed_runs": [],
    }
    try:
        with connect(paths.published, tolerant=True) as connection:
            counts = """
                select count(*), count(*) filter (status = 'error'), count(*) filter (status = 'dropped') from samples"""
            found["samples"], found["errors"], found["dropped"] = connection.execute(counts).fetchall()[0]
            found["splits"] = split_counts(connection)
            found["inputs"] = [asdict(one) | {"says": str(one)} for one in accounts(connection)]
            found["issues"] = dict(connection.execute(COUNTED).fetchall())
            found["expected"] = expected_issues(connection)
            found["failed_runs"] = [f"{key} of {method}: {error}" for key, method, error in failed(connection)]
            last = dict(
                connection.execute(
                    "select method, max(finished_at) from runs where state = 'done' group by method"
                ).fetchall()
            )
            counted = _counted(connection)
            for signal in catalog.ALL:
                tables = [publication.table for publication in signal.publishes]
                found["assets"][signal.name] = {
                    "rows": {table: counted[table] for table in tables if table in counted},
                    "last_run": last.get(signal.name),
                }
            formats = _formats(paths)
            _add_answers(paths, formats, found["assets"])
            found["failed_runs"] += [
                f"{key} of {table_formats.NAME}: {one.error}" for key, one in formats.items() if one.error
            ]
    except MissingError:
        if state == UP_TO_DATE:
            found["state"] = NOTHING
    except StoreError as error:
        found["state"] = f"pending: {error}"
    return found


def _split_from(paths: DatasetPaths) -> str:
    try:
        return load_dataset(paths.config).settings.split_from
    except ConfigurationError:
        return "none"


def _formats(paths: DatasetPaths) -> dict[str, table_formats.Written]:
    """Return what became of the formats that the declaration asks for."""
    try:
        return table_formats.written(paths, load_dataset(paths.config).settings.publish.format)
    except ConfigurationError:
        return {}


def _add_answers(paths: DatasetPaths, formats: Mapping[str, table_formats.Written], assets: dict[str, Any]) -> None:
    """Add the state of the assets that look at the outside world and whose runs are therefore not recorded."""
    from brain_assets.report.writing import mark_of, written_mark

    published = manifest(paths.published)
    if published is None:
        return
    number, moment = published["number"], published.get("published_at")
    tables = len(published.get("tables", ()))
    assets["published"] |= {
        "last_run": moment and datetime.fromisoformat(moment),
        "says": f"set {number}, {tables} tables",
    }
    if formats:
        assets[table_formats.NAME]["says"] = "; ".join(f"{key}: {one}" for key, one in formats.items())
    if mark := written_mark(paths.report):
        written = datetime.fromtimestamp(paths.report.stat().st_mtime, UTC)
        told = f"of set {mark.partition('.')[0]}" + ("" if mark == mark_of(number) else ", not of the current one")
        assets["report"] |= {"last_run": written, "says": told}


def _counted(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """Return the rows of each published table; a set that an older version published may lack some."""
    views = connection.execute("select view_name from duckdb_views() where not internal").fetchall()
    return {name: connection.execute(f'select count(*) from "{name}"').fetchall()[0][0] for (name,) in views}


def _state(paths: DatasetPaths) -> tuple[str, list[str]]:
    """Return what is pending, and what there is to say of the media source."""
    try:
        remembered.require_whole(paths)
        configuration = load_dataset(paths.config)
        settings = configuration.settings
        listing = open_media(settings).list()
        inputs, _ = input_state(configuration.settings, paths)
        reviews = state_of(Events(paths.events))
    except (BrainError, sqlite3.DatabaseError) as error:
        return f"cannot be looked at: {error}", []
    found = {
        "source_state": listing.state,
        "input_state": inputs,
        REVIEW_STATE: reviews,
        "settings": configuration.digest,
    }
    return _pending(paths, found), source_told(listing, settings)


def _pending(paths: DatasetPaths, found: Mapping[str, str]) -> str:
    """Return what is pending, given the state of all that tables are made of."""
    published, damaged = manifest(paths.published), damage(paths.published)
    if published is None:
        return f"pending: {damaged}" if damaged else NOTHING
    facts = published["facts"]
    told = {
        "the media changed": "source_state",
        "labels or predictions changed": "input_state",
        "reviews were said": REVIEW_STATE,
        "the settings changed": "settings",
    }
    pending = [reason for reason, name in told.items() if (facts.get(name) or "") != found[name]]
    if facts.get("code") != code_state(catalog.ALL):
        pending.append("another version published it")
    if damaged:
        pending.append(damaged)
    if behind := facts.get("behind"):
        pending.append(f"not brought up to date: {', '.join(behind)}")
    return "pending: " + ", ".join(pending) if pending else UP_TO_DATE


def as_text(found: dict[str, Any]) -> str:
    """Return a status for people."""
    lines = [f"{found['dataset']}: {_counts(found)}; {found['state']}"]
    if found["running"]:
        lines.append(f"  in work: {found['running']}")
    lines += [f"  failed: the run {one}" for one in found["failed_runs"]]
    lines += [f"  {told}" for told in _told(found)]
    for asset, facts in found["assets"].items():
        rows = ", ".join(f"{count} rows of {table}" for table, count in facts["rows"].items())
        rows = rows or facts.get("says", "-")
        last = f"{facts['last_run']:%Y-%m-%d %H:%M:%S}" if facts["last_run"] else ""
        lines.append(f"  {asset:20} {rows:44} {last}")
    told = found["expected"]
    lines += [
        f"  issue {issue:20} {count}" + (f", {told[issue]}" if issue in told else "")
        for issue, count in found["issues"].items()
    ]
    return "\n".join(lines)


def summary(home: Home, name: str) -> str:
    """Return a few lines on the state after a run."""
    found = status(home, name)
    if not found["assets"]:
        return f"nothing is published yet: 'brain materialize {name}' brings all of it up to date and publishes it"
    told = {issue: f" ({said})" for issue, said in found["expected"].items()}
    issues = (
        ", ".join(f"{count} {issue}{told.get(issue, '')}" for issue, count in found["issues"].items()) or "no issues"
    )
    issues += "".join(f"; the run {one}" for one in found["failed_runs"])
    last = f"{_counts(found)}; {issues}" + ("" if found["state"] == "up to date" else f"; {found['state']}")
    return "\n".join([*_told(found), last])


def _told(found: Mapping[str, Any]) -> list[str]:
    """Return the lines on what a user may not have meant: settings that are gone, and files that are no samples."""
    return [line for line in (found["declaration"], *found["source"]) if line]


def _counts(found: Mapping[str, Any]) -> str:
    dropped = f", {found['dropped']} dropped" if found["dropped"] else ""
    splits = splits_told(found["splits"], found["split_from"])
    counts = f"{found['samples']} samples, {found['errors']} errors{dropped}"
    return "; ".join(one for one in (counts, splits, *(one["says"] for one in found["inputs"])) if one)
