"""What a report says, as plain data: the page and the JSON for machines are two views of it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from brain_assets.ingest.accounting import Account
from brain_assets.signals.duplicates.shared_regions import SharedRegion


@dataclass(frozen=True)
class Subject:
    """An image, or an object in one: what a card shows of it. ``box`` is x, y, width and height in shares of the image."""

    subject_id: str
    sample_id: str
    filepath: str
    split: str | None = None
    labels: Sequence[str] = ()
    width: int | None = None
    height: int | None = None
    box: Sequence[float] | None = None


@dataclass(frozen=True)
class Metric:
    """A number of the dataset's health, its value before the last run, and its course, oldest first."""

    name: str
    title: str
    value: float
    before: float | None = None
    course: Sequence[float] = ()


@dataclass(frozen=True)
class Finding:
    """One subject with an issue, and why.

    ``is_new`` says that the last run found it; ``shared`` is what it and its partner show both, where that is not all.
    """

    subject: Subject
    score: float
    reason: str
    partner: Subject | None = None
    is_new: bool = False
    source: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)
    shared: SharedRegion | None = None


@dataclass(frozen=True)
class Member:
    """An image in a group of duplicates; ``shared`` is what its kept one shows, too, where that is not all."""

    subject: Subject
    keep: bool
    reason: str
    distance: float | None = None
    shared: SharedRegion | None = None


@dataclass(frozen=True)
class Group:
    """Images that are copies of each other, the one to keep first; ``size`` counts those not shown, too."""

    group_id: str
    size: int
    members: Sequence[Member]


@dataclass(frozen=True)
class Issue:
    """All subjects with one issue: ``count`` of them, of which a few are told as findings or, for copies, as groups.

    ``expected`` says in words how many of them are right, where that is calibrated.
    """

    issue: str
    title: str
    meaning: str
    advice: str
    count: int
    expected: str = ""
    before: int | None = None
    findings: Sequence[Finding] = ()
    groups: Sequence[Group] = ()
    group_count: int = 0
    split_pairs: Sequence[tuple[str, str, int]] = ()


@dataclass(frozen=True)
class Distribution:
    """A histogram: ``counts`` over equal bins between ``low`` and ``high``; ``cut`` is the threshold on it, if any."""

    name: str
    title: str
    meaning: str
    count: int
    low: float
    high: float
    counts: Sequence[int]
    median: float
    cut: float | None = None


@dataclass(frozen=True)
class Map:
    """A map in two dimensions: ``total`` points, of which those in ``x``, ``y`` are drawn.

    ``code`` is the place of each point's word in ``words``, which has the words with how many of all points bear each;
    ``marked`` holds the places of points to be ringed.
    """

    brain_key: str
    coloured_by: str
    total: int
    x: Sequence[float]
    y: Sequence[float]
    code: Sequence[int]
    words: Sequence[tuple[str, int]]
    marked: Sequence[int] = ()


@dataclass(frozen=True)
class ClassRow:
    """A class: how many samples bear it, how many of them have an issue, and the mean of scores, where there are any."""

    label: str
    count: int
    flagged: int
    hardness: float | None = None
    mistakenness: float | None = None


@dataclass(frozen=True)
class Statistic:
    """A measured property of the images, by percentiles."""

    name: str
    meaning: str
    least: float
    low: float
    median: float
    high: float
    most: float


@dataclass(frozen=True)
class Setting:
    """A setting that holds, and where it came from."""

    key: str
    value: str
    origin: str


@dataclass(frozen=True)
class Gate:
    """A limit on a number of the dataset's health, and whether it holds."""

    condition: str
    value: float | None
    passed: bool


@dataclass(frozen=True)
class Report:
    """Everything that the report of one published set says."""

    dataset: str
    set_number: int
    published_at: str
    samples: int
    flagged: int
    behind: Sequence[str] = ()
    damaged: Sequence[str] = ()
    failed_runs: Sequence[str] = ()
    splits: Sequence[tuple[str, int]] = ()
    inputs: Sequence[Account] = ()
    metrics: Sequence[Metric] = ()
    issues: Sequence[Issue] = ()
    map: Map | None = None
    distributions: Sequence[Distribution] = ()
    classes: Sequence[ClassRow] = ()
    class_count: int = 0
    statistics: Sequence[Statistic] = ()
    gates: Sequence[Gate] = ()
    settings: Sequence[Setting] = ()
    versions: Sequence[tuple[str, str]] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the report for machines; the points of the map are in the table of its run."""
        found = asdict(self)
        if self.map:
            found["map"] = {name: found["map"][name] for name in ("brain_key", "coloured_by", "total", "words")}
        return found

    def subjects(self) -> list[Subject]:
        """Return whoever is shown by a picture."""
        found: list[Subject] = []
        for issue in self.issues:
            for finding in issue.findings:
                found += [finding.subject, *([finding.partner] if finding.partner else [])]
            found += [member.subject for group in issue.groups for member in group.members]
        return found
