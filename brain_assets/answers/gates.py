"""What must hold of a dataset before its tables are published: limits on the numbers of its health.

A gate that fails warns, or keeps what was published before current. In the latter case the numbers that failed it are
kept beside the published sets, so that ``brain check`` can still say which.
"""

import json
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brain_assets.answers.contract import contract_gates
from brain_assets.ingest.accounting import ROLES
from brain_assets.resources.dataset import Dataset
from brain_assets.resources.errors import BrainError
from brain_assets.resources.settings.configuration import DatasetSettings, GateSettings, load_dataset
from brain_assets.resources.settings.home import DatasetPaths, Home
from brain_assets.resources.store.publishing import connect

HELD_BACK = "held_back.json"
ISSUE = "issue_"
COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    "<": operator.lt,
    ">=": operator.ge,
    ">": operator.gt,
    "==": operator.eq,
}
STORED = "select metric, value from health where run_id = (select run_id from health order by measured_at desc limit 1)"
PUBLISHED = (
    "select metric, value from health where run_id = (select run_id from health order by recorded_at desc limit 1)"
)


# What holds of every dataset unless its own gates name the metric: a hundredth of the rows may be rejected before somebody
# is told, and where files were given, something of them is used. Neither keeps anything from being published.
DEFAULT_GATES = (
    *(GateSettings(metric=f"rejected_{role}_share", operator="<", limit=0.01) for role in ROLES),
    *(GateSettings(metric=f"unused_{role}", limit=0) for role in ROLES),
)
UNUSED = tuple(f"unused_{role}" for role in ROLES)


@dataclass(frozen=True)
class Verdict:
    """A gate and the number it was held against; None where that was never measured."""

    gate: GateSettings
    value: float | None
    is_default: bool = False

    @property
    def warns(self) -> bool:
        """Whether a gate that nobody declared fails, without anything being wrong for sure."""
        return not self.passed and self.is_default and self.gate.metric not in UNUSED

    @property
    def passed(self) -> bool:
        """Whether the number keeps the limit."""
        return self.value is not None and COMPARE[self.gate.operator](self.value, self.gate.limit)

    @property
    def blocks(self) -> bool:
        """Whether nothing may be published."""
        return not self.passed and self.gate.severity == "block"

    @property
    def condition(self) -> str:
        """What shall hold."""
        return f"{self.gate.metric} {self.gate.operator} {self.gate.limit:g}"

    def __str__(self) -> str:
        value = "not measured" if self.value is None else f"{self.value:g}"
        said = "ok" if self.passed else "warning" if self.warns else "FAILED"
        return f"{self.gate.metric}  {value} {self.gate.operator} {self.gate.limit:g}  {said}"


@dataclass(frozen=True)
class Examination:
    """What the gates say; ``held_back`` is the run whose tables they kept from being published, if any."""

    verdicts: Sequence[Verdict]
    held_back: str | None = None


def evaluate(gates: Iterable[GateSettings], values: Mapping[str, float]) -> list[Verdict]:
    """Hold every gate against the numbers of a dataset's health; an issue that has no number has a count of 0."""
    return [
        Verdict(gate, values.get(gate.metric, 0.0 if values and gate.metric.startswith(ISSUE) else None))
        for gate in gates
    ]


def evaluate_all(gates: Iterable[GateSettings], values: Mapping[str, float]) -> list[Verdict]:
    """Hold the declared gates against the numbers, and name those of the default ones that fail, too."""
    declared = list(gates)
    named = {gate.metric for gate in declared}
    measured = [gate for gate in DEFAULT_GATES if gate.metric not in named and gate.metric in values]
    silent = [Verdict(gate, values[gate.metric], is_default=True) for gate in measured]
    return [*evaluate(declared, values), *(verdict for verdict in silent if not verdict.passed)]


def declared_gates(settings: DatasetSettings) -> list[GateSettings]:
    """Return the gates of dataset.yaml, and those that its contract stands for."""
    return [*settings.gates, *contract_gates(settings.contract)]


def verdicts(dataset: Dataset) -> list[Verdict]:
    """Return what the gates say of the newest numbers in the store."""
    return evaluate_all(declared_gates(dataset.settings), _values(dataset.store.rows(STORED)))


def contract_verdicts(dataset: Dataset) -> list[Verdict]:
    """Return what the clauses of the contract say of the newest numbers in the store; nothing without a contract."""
    return evaluate(contract_gates(dataset.settings.contract), _values(dataset.store.rows(STORED)))


def enforce(dataset: Dataset) -> None:
    """Keep the set before current where a blocking gate fails.

    Raises
    ------
    BrainError
        With the gates that fail.
    """
    blocking = [verdict for verdict in verdicts(dataset) if verdict.blocks]
    if blocking:
        _hold_back(dataset)
        says = "; ".join(" ".join(str(verdict).split()) for verdict in blocking)
        raise BrainError(
            f"a gate keeps {dataset.paths.name} from being published, the set before stays current: {says}"
        )


def release(paths: DatasetPaths) -> None:
    """Forget what was held back, once something newer is published."""
    (paths.published / HELD_BACK).unlink(missing_ok=True)


def _hold_back(dataset: Dataset) -> None:
    path = dataset.paths.published / HELD_BACK
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps({"run_id": dataset.run_id, "values": _values(dataset.store.rows(STORED))}), "utf-8")
    draft.replace(path)


def examine(home: Home, name: str) -> Examination:
    """Evaluate a dataset's gates on what is published, or on what a gate held back since then.

    Raises
    ------
    MissingError
        If nothing was ever measured.
    """
    paths = home.existing(name)
    gates = declared_gates(load_dataset(paths.config).settings)
    held_back = _held_back(paths.published / HELD_BACK)
    if held_back:
        return Examination(evaluate_all(gates, held_back["values"]), held_back["run_id"])
    with connect(paths.published) as connection:
        return Examination(evaluate_all(gates, _values(connection.execute(PUBLISHED).fetchall())))


def _held_back(path: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return found


def _values(rows: Iterable[tuple[Any, ...]]) -> dict[str, float]:
    return {str(metric): float(value) for metric, value in rows}
