"""Masks of objects that files give as runs, turned into the outlines that objects have."""

from typing import Any

from brain_assets.methods.labels.objects import decode_rle, mask_rings
from brain_assets.resources.label_formats.annotations import Annotations
from brain_assets.resources.tabular import Rejected


def outlined(annotations: Annotations) -> Annotations:
    """Give objects with a mask its outline; one whose mask cannot be read keeps its box, and is listed."""
    for row in annotations.objects:
        mask = row.pop("mask", None)
        if mask is None:
            continue
        try:
            row["polygon"] = _rings(mask) or None
        except Exception as error:  # noqa: BLE001 - a mask says anything, and costs its object no more than the outline
            reason = " ".join(f"its box alone is used: {error}".split())
            annotations.rejected.append(Rejected(row["line"], "mask", reason))
    return annotations


def _rings(mask: dict[str, Any]) -> list[list[float]]:
    height, width = (int(side) for side in mask["size"])
    return [ring.astype(float).ravel().tolist() for ring in mask_rings(decode_rle(mask["counts"], height, width))]
