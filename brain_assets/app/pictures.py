"""What notebooks show: figures and galleries that need no script and no network."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from brain_assets.app.api import DatasetReader
from brain_assets.report.tables import Tables
from brain_assets.report.thumbnails import thumbnails
from brain_assets.report.writing import write_file

COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#bbbbbb")
CELL = (
    "display:inline-block;white-space:normal;margin:4px;width:170px;vertical-align:top;font:12px sans-serif;"
    "overflow-wrap:anywhere"
)
# Points that a figure draws at most.
MOST = 20_000


@dataclass(frozen=True)
class Picture:
    """Something that a notebook shows by itself; `save` writes it as a page."""

    html: str

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return f"<picture of {len(self.html)} characters: shown in notebooks, or save(PATH)>"

    def save(self, path: str | Path) -> Path:
        """Write a page of its own."""
        target = Path(path).expanduser()
        write_file(target, f"<!doctype html><meta charset='utf-8'>{self.html}".encode(), "picture")
        return target


def gallery(reader: DatasetReader, rows: Iterable[Sequence[tuple[str, str]]], title: str = "") -> Picture:
    """Return rows of pictures.

    Parameters
    ----------
    reader : DatasetReader
    rows : iterable of rows of (sample_id, caption)
    title : str
    """
    listed = [list(row) for row in rows]
    shown = thumbnails(Tables(reader.connection()), reader.paths.folder, [one for row in listed for one, _ in row])
    lines = [f"<h3>{escape(title)}</h3>"] if title else []
    for row in listed:
        cells = []
        for sample, caption in row:
            image = f"<img src='{shown[sample].uri}' style='max-width:160px'>" if sample in shown else "(no picture)"
            cells.append(f"<div style='{CELL}'>{image}<br>{escape(caption)}</div>")
        lines.append(f"<div style='white-space:nowrap;overflow-x:auto'>{''.join(cells)}</div>")
    return Picture("".join(lines if listed else [*lines, "<p>nothing to show</p>"]))


def scatter(
    points: ArrayLike, words: Sequence[str] = (), edges: Sequence[tuple[int, int]] = (), size: int = 560
) -> Picture:
    """Return points in the plane as SVG, coloured by word, with lines between some of them.

    Parameters
    ----------
    points : (n, 2) or (n, 3) array
        Of three dimensions the first two are drawn.
    words : sequence of n str
    edges : sequence of (int, int)
        Rows of points.
    size : int
        Pixels of the longer side.
    """
    given = np.asarray(points, float)
    # No rows have no columns either.
    matrix = given.reshape(len(given), -1 if given.size else 2)[:, :2]
    finite = np.isfinite(matrix).all(axis=1)
    if not finite.any():
        return Picture("<p>no points</p>")
    inside = matrix[np.flatnonzero(finite)]
    spans = inside.max(axis=0) - inside.min(axis=0)
    scale = (size - 20) / max(float(spans.max()), 1e-9)
    width, height = (round(side) for side in 20 + spans * scale)
    placed = 10 + (matrix - inside.min(axis=0)) * scale
    colours = _colours(words)
    lines = [_line(placed[a], placed[b]) for a, b in edges if finite[a] and finite[b]]
    shown = np.flatnonzero(finite)[:MOST].tolist()
    dots = [_dot(placed[row], colours.get(words[row], COLOURS[-1]) if words else COLOURS[0]) for row in shown]
    svg = f"<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{height}'>{''.join(lines + dots)}</svg>"
    legend = "".join(
        f"<span style='color:{shade}'>&#9679;</span> {escape(word)} &nbsp;" for word, shade in colours.items()
    )
    return Picture(f"<div>{svg}<div style='font:12px sans-serif'>{legend}</div></div>")


def _colours(words: Sequence[str]) -> dict[str, str]:
    """Return a colour for each of the commonest words; the others share the last one, which has no name."""
    counted = Counter(words).most_common(len(COLOURS) - 1)
    return {word: COLOURS[place] for place, (word, _) in enumerate(sorted(counted, key=lambda one: (-one[1], one[0])))}


def _line(start: NDArray[np.float64], end: NDArray[np.float64]) -> str:
    return f"<line x1='{start[0]:.1f}' y1='{start[1]:.1f}' x2='{end[0]:.1f}' y2='{end[1]:.1f}' stroke='#999'/>"


def _dot(place: NDArray[np.float64], colour: str) -> str:
    return f"<circle cx='{place[0]:.1f}' cy='{place[1]:.1f}' r='2.5' fill='{colour}'/>"
