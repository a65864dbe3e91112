"""All assets: every signal, and what is answered from them, each after what it reads."""

from brain_assets.answers.health import health
from brain_assets.answers.issues import issues
from brain_assets.answers.published import published
from brain_assets.answers.table_formats import TABLE_FORMATS
from brain_assets.incremental.signal import Signal
from brain_assets.report.asset import REPORT
from brain_assets.signals.registry import SIGNALS

ISSUES = issues(SIGNALS)
HEALTH = health([*SIGNALS, ISSUES])
PUBLISHED = published([*SIGNALS, ISSUES, HEALTH])
ALL: tuple[Signal, ...] = (*SIGNALS, ISSUES, HEALTH, PUBLISHED, TABLE_FORMATS, REPORT)
BY_NAME = {signal.name: signal for signal in ALL}
WRITTEN = {table for signal in ALL for table in signal.writes}


def upstream(signal: Signal) -> tuple[str, ...]:
    """Return the names of the signals before it whose tables it reads, or that it comes after.

    What a later one writes too, such as vectors that are kept by their content, is read as the last run left it.
    """
    before = ALL[: ALL.index(signal)]
    reads = set(signal.reads)
    return tuple(one.name for one in before if reads & set(one.writes) or one.name in signal.after)
