"""Numbers, shares and evidence in words: what the sentences of issues are made of."""

from collections.abc import Mapping
from typing import Any

Evidence = Mapping[str, Any]
ORIGINS = {"fitted": "fitted to this dataset", "calibrated": "fitted to this dataset", "settings": "set by hand"}


def number(value: float | None) -> str:
    """Return a number as people read it: thousands apart, three significant digits of a fraction.

    Examples
    --------
    >>> number(12345.0), number(0.012345), number(3.14159), number(None)
    ('12 345', '0.0123', '3.14', '-')
    """
    if value is None or value != value:  # noqa: PLR0124 - NaN differs from itself
        return "-"
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}".replace(",", " ")
    return f"{value:,.0f}".replace(",", " ") if abs(value) >= 1000 else f"{value:.3g}"


def percent(share: float) -> str:
    """Return a share in percent; what is there is never shown as none, nor what is not all as all.

    Examples
    --------
    >>> percent(0.1234), percent(0.0001), percent(0.99999), percent(0)
    ('12 %', '< 0.1 %', '99.9 %', '0 %')
    """
    if share in (0, 1):
        return f"{share * 100:.0f} %"
    if share < 0.001:
        return "< 0.1 %"
    return f"{min(share * 100, 99.9):.{0 if 0.1 <= share < 0.995 else 1}f} %"


def joined(words: Any) -> str:
    """Return one word, or several between commas."""
    return ", ".join(str(word) for word in (words if isinstance(words, list) else [words]) if word is not None)


def sure(evidence: Evidence) -> str:
    """Return how confident a model is, in brackets; "" where nothing is known."""
    confidence = evidence.get("confidence")
    return f" ({percent(confidence)} sure)" if isinstance(confidence, float) and 0 <= confidence <= 1 else ""


def origin(evidence: Evidence) -> str:
    """Return where a threshold comes from, in brackets; "" where nothing is known."""
    name = str(evidence.get("origin") or "")
    return f" ({ORIGINS.get(name, name)})" if name else ""


def measured(evidence: Evidence, labels: str, partner: str) -> str:
    """Return what a rule measured, and where it begins to flag: ``meaning`` (or ``statistic``), ``value``, ``threshold``."""
    value, threshold = evidence.get("value"), evidence.get("threshold")
    meaning = str(evidence.get("meaning") or evidence.get("statistic") or "").rstrip(".")
    if not isinstance(value, int | float) or not isinstance(threshold, int | float) or not meaning:
        return ""
    side = "below" if value < threshold else "above"
    return f"{meaning[:1].upper()}{meaning[1:]}: {number(value)}, flagged {side} {number(threshold)}{origin(evidence)}."
