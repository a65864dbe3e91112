"""Why a run failed, in one line."""

from collections.abc import Iterable, Iterator

from brain_assets.resources.errors import BrainError


def _kinds(kind: type[BrainError]) -> Iterator[str]:
    yield kind.__name__
    for below in kind.__subclasses__():
        yield from _kinds(below)


# Errors whose text is meant for the user; what caused them is not.
TOLD = {"Failure", *_kinds(BrainError)}
# What a full disk is called by systems and by SQLite, which Dagster's own records may meet as well.
FULL = ("No space left", "Disk quota exceeded", "File too large", "database or disk is full")
INTERRUPTS = {"KeyboardInterrupt", "DagsterExecutionInterruptedError"}


def reason_of(events: "Iterable[dg.DagsterEvent]") -> str:  # type: ignore[name-defined]  # noqa: F821
    """Return why a run failed, in one line: what an asset said, else the error that was there first."""
    text = _reason(events)
    full = any(sign in text for sign in FULL) and "the disk is full" not in text
    return f"the disk is full, free some space and run again (nothing was lost): {text}" if full else text


def _reason(events: "Iterable[dg.DagsterEvent]") -> str:  # type: ignore[name-defined]  # noqa: F821
    failures = [event for event in events if event.is_failure]
    for event in failures:
        told = getattr(event.event_specific_data, "user_failure_data", None)
        if told and told.description:
            return " ".join(told.description.split())
    chain = [error for event in failures for error in _chain(getattr(event.event_specific_data, "error", None))]
    for error in chain:
        if error.cls_name in TOLD:
            return " ".join(error.message.partition(": ")[2].split())
    if chain:
        return " ".join(next(error for error in chain if not error.cause).message.split())
    return next((event.message for event in failures if event.message), "the run failed")


def _chain(error: "dg.SerializableErrorInfo | None") -> "Iterator[dg.SerializableErrorInfo]":  # type: ignore[name-defined]  # noqa: F821
    """Yield an error and what caused it, the outermost first."""
    while error:
        yield error
        error = error.cause
