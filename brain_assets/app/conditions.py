"""What makes a scan fail, as it is typed: ``leaks``, ``label_mistakes>1%``, ``new_outliers>=3``, ``unreadable_share>0.01``."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from brain_assets.answers.gates import COMPARE, ISSUE
from brain_assets.resources.errors import ConfigurationError
from brain_assets.resources.settings.validation import nearest

FORM = re.compile(r"\s*([A-Za-z_][\w.]*)\s*(?:(<=|>=|==|<|>)\s*(\d+(?:\.\d+)?(?:e-?\d+)?)\s*(%?))?\s*")
OPPOSITE = {"<=": ">", "<": ">=", ">=": "<", ">": "<=", "==": "other than"}
NEW = "new_"


@dataclass(frozen=True)
class Condition:
    """A number that makes a scan fail.

    Attributes
    ----------
    text : str
        As it was typed.
    issue, metric : str
        An issue whose subjects are counted, else a number of health; the other is empty.
    operator, limit
        When it holds, the scan fails.
    percent : bool
        Whether the limit is a share of the samples, in percent.
    new : bool
        Whether only what the last scan did not find counts.
    """

    text: str
    issue: str
    metric: str
    operator: str = ">"
    limit: float = 0.0
    percent: bool = False
    new: bool = False

    def measured(
        self, values: Mapping[str, float], affected: Mapping[str, int], new: Mapping[str, int]
    ) -> float | None:
        """Return the number, from health, the samples with each issue, and what is new of each; None if not measured."""
        if self.metric:
            return values.get(self.metric)
        if self.percent:
            return 100 * (new if self.new else affected).get(self.issue, 0) / max(values.get("samples", 0), 1)
        return float(new.get(self.issue, 0)) if self.new else values.get(ISSUE + self.issue, 0.0)

    def holds(self, value: float | None) -> bool:
        """Return whether the scan fails; what was not measured does not pass for good."""
        return value is None or COMPARE[self.operator](value, self.limit)

    @property
    def wanted(self) -> str:
        """What was wanted instead."""
        return f"{OPPOSITE[self.operator]} {self.limit:g}{'%' if self.percent else ''}"


def conditions(text: str, issues: Iterable[str], metrics: Iterable[str]) -> list[Condition]:
    """Return the conditions between commas.

    Parameters
    ----------
    text : str
    issues : iterable of str
        Names of issues; their plurals are understood, too.
    metrics : iterable of str
        Numbers of health.

    Raises
    ------
    ConfigurationError
        If one is not of the form, or names what there is not.

    Examples
    --------
    >>> [one] = conditions("label_mistakes>1%", ["label_mistake"], [])
    >>> one.issue, one.operator, one.limit, one.percent
    ('label_mistake', '>', 1.0, True)
    """
    singular = {form: issue for issue in issues for form in (issue, f"{issue}s", f"{issue}es", _plural(issue))}
    known = set(metrics)
    return [_condition(part, singular, known) for part in text.split(",") if part.strip()]


def _plural(issue: str) -> str:
    return f"{issue[:-1]}ies" if issue.endswith("y") else issue


def _condition(text: str, singular: Mapping[str, str], metrics: set[str]) -> Condition:
    if not (match := FORM.fullmatch(text)):
        raise ConfigurationError(f"--fail-on {text.strip()!r}: write NAME, NAME>NUMBER or NAME>PERCENT%, such as leaks")
    word, operator, limit, percent = match.groups()
    new = word.startswith(NEW) and word.removeprefix(NEW) in singular
    issue = singular.get(word.removeprefix(NEW) if new else word, "")
    if not issue and word not in metrics:
        raise ConfigurationError(
            f"--fail-on: there is no issue or number {word!r}{nearest(word, {*singular.values(), *metrics})}"
        )
    if percent and not issue:
        raise ConfigurationError(f"--fail-on {text.strip()!r}: percent are of samples with an issue; give a number")
    return Condition(text.strip(), issue, "" if issue else word, operator or ">", float(limit or 0), bool(percent), new)
