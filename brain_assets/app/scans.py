"""Scan a folder without declaring it: bring what decides on it up to date, and hold the answers against conditions.

What a scan derives is kept in ``scans`` of the home, a dataset for each folder, so that the next scan of it reads what changed
alone. Dagster has no part in it.
"""

import hashlib
import os
import re
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from brain_assets.answers.contract import Contract, clauses, contract_gates, filled, read_contract
from brain_assets.answers.gates import ISSUE, PUBLISHED, UNUSED, Verdict, evaluate, evaluate_all
from brain_assets.app.conditions import Condition
from brain_assets.app.declaring import declaration, write_declaration
from brain_assets.app.directly import bring_directly
from brain_assets.app.scanning import as_options, look_at
from brain_assets.assets import catalog
from brain_assets.assets.declarations import check_declaration
from brain_assets.ingest.accounting import accounts, split_counts
from brain_assets.report.asset import REPORT
from brain_assets.report.content import Finding
from brain_assets.report.findings import reasoned
from brain_assets.report.tables import Tables
from brain_assets.resources.errors import BrainError, MissingError
from brain_assets.resources.label_formats.glances import ROLES
from brain_assets.resources.settings.configuration import DatasetSettings, load_dataset
from brain_assets.resources.settings.home import Home
from brain_assets.resources.store import locks
from brain_assets.resources.store.publishing import connect
from brain_assets.signals.registry import issue_named

# What a verdict does not need: pictures of the whole and their words.
LEFT_OUT = frozenset({"visualization", "representativeness", REPORT.name})
# A verdict on a folder is of the folder alone, and not of what else was scanned on the machine before.
ELSEWHERE = frozenset({"fingerprints", "contamination"})
SHOWN_OFFENDERS = 1000
# How long it is kept what was derived of a folder that is gone: disks are mounted again.
UNUSED_DAYS = 90
EVERY = """
    select *, coalesce(object_id, sample_id) as subject from issues where is_issue
    qualify row_number() over (partition by issue, coalesce(object_id, sample_id) order by score desc, source) = 1
    order by issue, score desc, subject"""
AFFECTED = "select issue, count(distinct sample_id) from issues where is_issue group by issue"


@dataclass(frozen=True)
class Outcome:
    """Something that was asked to hold.

    Attributes
    ----------
    name : str
        Of the condition or of the contract's clause.
    value : float or None
        What was measured.
    wanted : str
        What shall hold.
    passed : bool
    details : list of (str or None, str)
        What breaks it: the path of an image, or None, and what is wrong.
    issue : str
        The issue whose findings break it; empty where details name them.
    """

    name: str
    value: float | None
    wanted: str
    passed: bool
    details: Sequence[tuple[str | None, str]] = ()
    issue: str = ""

    def __str__(self) -> str:
        value = "not measured" if self.value is None else f"{self.value:.6g}"
        return f"{self.name}: {value}, wanted {self.wanted}"


@dataclass(frozen=True)
class Scan:
    """What a scan found.

    Attributes
    ----------
    folder : Path
    name, home : str, Home
        The dataset that holds what was derived, and the home that it lies in.
    samples, errors : int
        Images, and those of them that cannot be read.
    splits : mapping of str to int
    inputs : list of str
        What became of the rows of labels and predictions.
    findings : list of (str, Finding)
        Each issue and what has it: the issue to look at first comes first, and within it the surest.
    outcomes : list of Outcome
        What was asked to hold: conditions, clauses of the contract, and that given labels are used.
    values : mapping of str to float
        The numbers of health.
    """

    folder: Path
    name: str
    home: Home
    samples: int
    errors: int
    splits: Mapping[str, int]
    inputs: Sequence[str]
    findings: Sequence[tuple[str, Finding]]
    outcomes: Sequence[Outcome]
    values: Mapping[str, float] = field(repr=False)

    @property
    def failed(self) -> list[Outcome]:
        """What does not hold."""
        return [one for one in self.outcomes if not one.passed]

    @property
    def failing_issues(self) -> set[str]:
        """Issues that make the scan fail."""
        return {one.issue for one in self.failed if one.issue}

    @property
    def counts(self) -> dict[str, int]:
        """Subjects of each issue."""
        return dict(Counter(issue for issue, _ in self.findings))

    @property
    def new(self) -> dict[str, int]:
        """Of them those that this scan found and the one before did not; nothing on a first scan."""
        return dict(Counter(issue for issue, finding in self.findings if finding.is_new))

    def path_of(self, filepath: str) -> str:
        """Return where an image lies, relative to the working directory where it is below it."""
        path = os.path.join(self.folder, filepath)
        inside = os.path.relpath(path)
        return path if inside.startswith("..") else inside


def unmeasured() -> frozenset[str]:
    """Return the issues and numbers of health that a scan cannot tell, as they are of more than one folder."""
    signals = [catalog.BY_NAME[name] for name in ELSEWHERE]
    issues = {issue.name for signal in signals for query in signal.issues for issue in query.issues}
    return frozenset(issues | {ISSUE + name for name in issues}.union(*(signal.metrics for signal in signals)))


def scan(
    home: Home,
    folder: Path,
    *,
    conditions: Sequence[Condition] = (),
    contract: Path | None = None,
    told: Any = lambda _: None,
    everything: bool = False,
    **settings: Any,
) -> Scan:
    """Scan a folder; the second time, what changed alone.

    Parameters
    ----------
    home : Home
        Its folder ``scans`` keeps what is derived.
    folder : Path
    conditions : sequence of Condition
        What makes the scan fail.
    contract : Path, optional
        File of what must hold.
    told : callable
        Is told, in lines, what was seen in the folder.
    everything : bool
        Whether the map and its clusters are computed as well, which only a report shows.
    **settings
        As for `brain_assets.app.declaring.declare`; what is not said is taken from a look at the folder, as far as it is
        certain.

    Raises
    ------
    MissingError, ConfigurationError, SourceError
        If there is no such folder, it holds no images, or what is given is wrong.
    """
    if not folder.is_dir():
        raise MissingError(f"there is no folder {folder}")
    agreed = read_contract(contract) if contract else None
    if contract:
        check_declaration(DatasetSettings(media=".", contract=str(contract)))
    kept, name = Home(home.root / "scans"), name_of(folder.absolute())
    _declare(kept, name, folder.absolute(), settings, told)
    left_out = ELSEWHERE | ({REPORT.name} if everything else LEFT_OUT)
    bring_directly(kept, name, catalog.BY_NAME.keys() - left_out, "brain scan")
    _forget_gone(kept)
    with ExitStack() as stack:
        connection = stack.enter_context(connect(kept.existing(name).published))
        return _found(connection, folder, (kept, name), conditions, (agreed, contract))


def name_of(folder: Path) -> str:
    """Return the name of a folder's dataset: readable, and another for each folder."""
    word = re.sub(r"[^A-Za-z0-9_.-]+", "-", folder.name).strip("-_.")[:60] or "folder"
    return f"{word}-{hashlib.blake2b(os.fsencode(folder), digest_size=4).hexdigest()}"


def _declare(home: Home, name: str, folder: Path, settings: Mapping[str, Any], told: Any) -> None:
    """Write the declaration of a folder as it is now; what was derived under another stays, and is brought up to date."""
    given = {key: value for key, value in settings.items() if value}
    look = look_at(folder)
    if not look.samples and not look.videos:
        raise MissingError(f"there are no images in {folder}")
    open_roles = [role for role in ROLES if role not in given]
    said = tuple(role for role in ROLES if role in given)
    certain = {key: value for key, value in look.proposal(unsure=False).items() if not key.startswith(said)}
    for why, what in look.not_taken(certain, open_roles):
        told(f"{why}: {what}")
    if certain:
        told(f"taken with what is there: {as_options(certain)}")
    tree = declaration({**certain, "media": [str(folder)], **given})
    home.root.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_declaration(home.paths(name), tree)


def _forget_gone(home: Home) -> None:
    """Delete what was derived of folders that are not there any more and that nobody has scanned for a while."""
    for name in home.names():
        paths = home.paths(name)
        with suppress(BrainError, OSError):
            unused = time.time() - paths.lock.stat().st_mtime > UNUSED_DAYS * 86_400
            gone = not any(os.path.exists(one) for one in load_dataset(paths.config).settings.media_addresses)
            if unused and gone:
                with locks.exclusive(paths.lock, "brain scan"):
                    shutil.rmtree(paths.folder)


def _found(
    connection: duckdb.DuckDBPyConnection,
    folder: Path,
    place: tuple[Home, str],
    conditions: Sequence[Condition],
    agreed: tuple[Contract | None, Path | None],
) -> Scan:
    home, name = place
    tables = Tables(connection)
    findings = sorted(reasoned(tables, tables.rows(EVERY)), key=lambda one: issue_named(one[0]).place)
    numbers = connection.execute(PUBLISHED).fetchall()
    values = {str(metric): float(value) for metric, value in numbers if metric not in unmeasured()}
    contract, path = agreed
    outcomes = [
        *_of_conditions(connection, conditions, values, findings),
        *(_of_contract(connection, contract, path, values) if contract else ()),
        *_of_inputs(values),
    ]
    counted = "select count(*), count_if(status = 'error') from samples"
    samples, errors = connection.execute(counted).fetchall()[0]
    inputs = [str(one) for one in accounts(connection)]
    return Scan(folder, name, home, samples, errors, split_counts(connection), inputs, findings, outcomes, values)


def _of_conditions(
    connection: duckdb.DuckDBPyConnection,
    conditions: Sequence[Condition],
    values: Mapping[str, float],
    findings: Sequence[tuple[str, Finding]],
) -> Iterator[Outcome]:
    affected = dict(connection.execute(AFFECTED).fetchall())
    new = Counter(issue for issue, finding in findings if finding.is_new)
    for condition in conditions:
        value = condition.measured(values, affected, new)
        yield Outcome(condition.text, value, condition.wanted, not condition.holds(value), issue=condition.issue)


def _of_contract(
    connection: duckdb.DuckDBPyConnection, contract: Contract, path: Path | None, values: Mapping[str, float]
) -> Iterator[Outcome]:
    """Yield what becomes of each clause, over the published tables."""
    said = list(clauses(contract))
    measured = {
        one.metric: float(connection.execute(filled(one.value, contract, {})).fetchall()[0][0])
        for one in said
        if one.value
    }
    for clause, verdict in zip(said, evaluate(contract_gates(str(path)), {**values, **measured}), strict=True):
        offenders = filled(clause.offenders, contract, {}) if clause.offenders and not verdict.passed else ""
        yield _outcome(verdict, _details(connection, offenders) if offenders else ())


def _details(connection: duckdb.DuckDBPyConnection, offenders: str) -> list[tuple[str | None, str]]:
    named = f"""
        select filepath, says from ({offenders}) left join (select sample_id, filepath from samples) using (sample_id)
        order by all limit {SHOWN_OFFENDERS}"""
    return [(path, str(says)) for path, says in connection.execute(named).fetchall()]


def _outcome(verdict: Verdict, details: Sequence[tuple[str | None, str]] = ()) -> Outcome:
    gate = verdict.gate
    return Outcome(gate.metric, verdict.value, f"{gate.operator} {gate.limit:g}", verdict.passed, details)


def _of_inputs(values: Mapping[str, float]) -> Iterator[Outcome]:
    """Yield that labels or predictions were given and nothing of them is used, which nobody can have wanted."""
    for verdict in evaluate_all((), values):
        if verdict.gate.metric in UNUSED:
            yield _outcome(verdict)
