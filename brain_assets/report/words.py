"""What issues and numbers are called, and why something was flagged, in words."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

Evidence = Mapping[str, Any]


class Words(NamedTuple):
    """An issue's title, what it means, and what to do about it."""

    title: str
    meaning: str
    advice: str


# In the order in which they should be looked at.
ISSUES: Mapping[str, Words] = {
    "unreadable": Words(
        "Unreadable files",
        "Their stream cannot be decoded to its end.",
        "Export or fetch them again; nothing else is known of them.",
    ),
    "leak": Words(
        "Leaks between splits",
        "The same image, or a near copy, lies in two splits, so that results on one are told by the other.",
        "Remove one side of each pair, best the one in the training split.",
    ),
    "label_mistake": Words(
        "Label mistakes",
        "The label is not what the image shows, as models and look-alikes see it.",
        "Look at the surest first: relabel them or keep them as they are.",
    ),
    "missing_label": Words(
        "Missing labels", "The image shows a class that its labels leave out.", "Add the label where it is right."
    ),
    "exact_duplicate": Words(
        "Exact duplicates",
        "The same pixels are there more than once.",
        "Drop all but the one to keep: they weigh twice in training and tell nothing new.",
    ),
    "near_duplicate": Words(
        "Near duplicates",
        "The same picture after a small edit, a re-encoding, or the next frame.",
        "Drop all but the one to keep, unless the small differences are what you train on.",
    ),
    "missing_object": Words(
        "Missing objects", "A model sees an object that nobody annotated.", "Annotate it where it is right."
    ),
    "spurious_object": Words(
        "Spurious objects", "An annotation where models see no such object.", "Remove the annotation where it is wrong."
    ),
    "bad_box": Words("Badly placed boxes", "The box does not fit the object.", "Draw the box again."),
    "outlier": Words(
        "Outliers",
        "Unlike all others in the dataset.",
        "Keep rare cases, drop what does not belong here.",
    ),
    "dark": Words("Dark images", "Even the brightest parts are dark.", "Drop them or expose them anew."),
    "bright": Words("Bright images", "Light everywhere, or burnt out.", "Drop them or expose them anew."),
    "blurry": Words("Blurred images", "Even the strongest edges are wide.", "Drop them where detail matters."),
    "noisy": Words("Noisy images", "Grain that is no texture.", "Drop them or denoise all alike."),
    "low_information": Words("Hardly anything to see", "Next to no contrast anywhere.", "Drop blank images."),
    "odd_size": Words("Odd sizes", "Much larger or smaller than most.", "See whether they are from another source."),
    "odd_aspect_ratio": Words(
        "Odd shapes", "Much longer than high, or the reverse.", "See whether resizing distorts them."
    ),
    "tiny": Words("Tiny images", "Smaller than a model can use.", "Fetch the originals, these may be thumbnails."),
    "grayscale": Words("Grey among colour", "Grey though most others are in colour.", "See whether that is meant."),
    "type_mismatch": Words(
        "Misnamed files", "The content is of another type than the file's name says.", "Rename them."
    ),
    "rotated": Words(
        "Stored rotated",
        "Stands upright only where the EXIF orientation is obeyed.",
        "Rotate the pixels: many loaders ignore the mark.",
    ),
    "animated": Words("Animated images", "Holds several frames, of which loaders take the first.", "Split the frames."),
}


def words_of(issue: str) -> Words:
    """Return what is said of an issue; one that is new here goes by its name."""
    return ISSUES.get(issue) or Words(issue.replace("_", " ").capitalize(), "", "")


def rank_of(issue: str) -> int:
    """Return an issue's place in the report."""
    return list(ISSUES).index(issue) if issue in ISSUES else len(ISSUES)


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


def reason(issue: str, evidence: Evidence, labels: str, partner: str) -> str:
    """Return why a subject was flagged.

    Parameters
    ----------
    issue : str
    evidence : mapping
        The issue's evidence.
    labels : str
        The subject's labels.
    partner : str
        Path of the partner that the evidence names, or "".
    """
    say = SENTENCES.get(issue, _measured)
    return say(evidence, labels, partner) or words_of(issue).meaning


def _unreadable(evidence: Evidence, labels: str, partner: str) -> str:
    return str(evidence.get("reason") or "")


def _copy(evidence: Evidence, labels: str, partner: str) -> str:
    reason = str(evidence.get("reason") or f"a copy of {partner}")
    distance = evidence.get("distance")
    return f"{reason}; distance {number(distance)}" if isinstance(distance, float) else reason


def _leak(evidence: Evidence, labels: str, partner: str) -> str:
    distance = evidence.get("distance")
    copy = "the same pixels" if distance == 0 else f"a near copy (distance {number(distance)})"
    more = int(evidence.get("partners") or 1) - 1
    also = f", and {more} more beside it" if more else ""
    return f"In {evidence.get('split')}; {copy} in {evidence.get('partner_split')}{also}."


def _outlier(evidence: Evidence, labels: str, partner: str) -> str:
    if evidence.get("threshold") is None:
        return ""
    return (
        f"{number(evidence.get('distance'))} away from the images most like it,"
        f" beyond {number(evidence['threshold'])}{_origin(evidence)}."
    )


def _label(evidence: Evidence, labels: str, partner: str) -> str:
    given, suggested = _joined(evidence.get("given")) or labels, _joined(evidence.get("suggested"))
    if not suggested:
        return ""
    model = evidence.get("model")
    who = "look-alikes bear" if model is None else "models see" if model == "*" else f"{model} sees"
    said = f"Labelled “{given}”" if given else "No label"
    return f"{said}, {who} “{suggested}”{_sure(evidence)}{_alike(evidence)}."


def _sure(evidence: Evidence) -> str:
    confidence = evidence.get("confidence")
    return f" ({percent(confidence)} sure)" if isinstance(confidence, float) and 0 <= confidence <= 1 else ""


def _alike(evidence: Evidence) -> str:
    """Say how many of the labelled neighbours bear the suggested class."""
    labelled, suggested = evidence.get("neighbors_labelled"), evidence.get("neighbors_suggested")
    return f"; so do {suggested} of the {labelled} most alike" if labelled and suggested else ""


def _object(evidence: Evidence, labels: str, partner: str) -> str:
    label, overlap = evidence.get("label"), evidence.get("iou")
    fit = f", overlap {number(overlap)}" if isinstance(overlap, float) else ""
    return f"“{label}”{_sure(evidence)}{fit}." if label else ""


def _measured(evidence: Evidence, labels: str, partner: str) -> str:
    """Say what a rule measured, and where it begins to flag."""
    value, threshold = evidence.get("value"), evidence.get("threshold")
    meaning = str(evidence.get("meaning") or evidence.get("statistic") or "").rstrip(".")
    if not isinstance(value, int | float) or not isinstance(threshold, int | float) or not meaning:
        return ""
    side = "below" if value < threshold else "above"
    return (
        f"{meaning[:1].upper()}{meaning[1:]}: {number(value)}, flagged {side} {number(threshold)}{_origin(evidence)}."
    )


ORIGINS = {"fitted": "fitted to this dataset", "calibrated": "fitted to this dataset", "settings": "set by hand"}


def _origin(evidence: Evidence) -> str:
    origin = str(evidence.get("origin") or "")
    return f" ({ORIGINS.get(origin, origin)})" if origin else ""


def _joined(words: Any) -> str:
    return ", ".join(str(word) for word in (words if isinstance(words, list) else [words]) if word is not None)


SENTENCES: Mapping[str, Callable[[Evidence, str, str], str]] = {
    "unreadable": _unreadable,
    "exact_duplicate": _copy,
    "near_duplicate": _copy,
    "leak": _leak,
    "outlier": _outlier,
    "label_mistake": _label,
    "missing_label": _label,
    "missing_object": _object,
    "spurious_object": _object,
    "bad_box": _object,
}
