"""Small pictures in SVG: histograms, courses, maps."""

import base64
from collections.abc import Sequence

from brain_assets.incremental.words import number
from brain_assets.report.content import Map
from brain_assets.report.markup import Element, element, markup

WIDTH, HEIGHT = 280, 80
MAP_WIDTH, MAP_HEIGHT, MAP_MARGIN = 1000, 620, 14


def bars(counts: Sequence[int], width: float = WIDTH, height: float = HEIGHT) -> str:
    """Return the path of a histogram's bars, the highest as high as the picture; what is there is never invisible."""
    most, step = max(counts), width / len(counts)
    gap = min(1.0, step / 8)
    tall = [max(1.5, count / most * height) if count else 0 for count in counts]
    return "".join(
        f"M{place * step:.4g} {height:g}v{-tall_:.3g}h{step - gap:.3g}V{height:g}"
        for place, tall_ in enumerate(tall)
        if tall_
    )


def histogram(counts: Sequence[int], label: str, marks: Sequence[tuple[str, float]] = ()) -> Element:
    """Return a histogram; ``marks`` are classes and places, in shares of the width, of vertical lines."""
    lines = [
        element("line", class_=kind, x1=f"{place * WIDTH:.1f}", x2=f"{place * WIDTH:.1f}", y1=0, y2=HEIGHT)
        for kind, place in marks
        if 0 <= place <= 1
    ]
    return element(
        "svg", element("path", class_="bars", d=bars(counts)), lines,
        viewBox=f"0 0 {WIDTH} {HEIGHT}", preserveAspectRatio="none", role="img", aria_label=label, class_="histogram",
    )  # fmt: skip


def course(values: Sequence[float], label: str) -> Element | None:
    """Return a line through values over time; None where there are too few to show a course."""
    if len(values) < 3:
        return None
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    points = [
        f"{place / (len(values) - 1) * 96 + 2:.1f},{26 - (value - low) / span * 22:.1f}"
        for place, value in enumerate(values)
    ]
    end = points[-1].split(",")
    return element(
        "svg", element("polyline", points=" ".join(points)), element("circle", cx=end[0], cy=end[1], r=2.5),
        viewBox="0 0 100 28", role="img", aria_label=label, class_="course",
    )  # fmt: skip


def scatter(drawn: Map, label: str) -> Element:
    """Return a map: one path of dots per word, the marked points ringed."""
    x = _scaled(drawn.x, MAP_WIDTH)
    y = [MAP_HEIGHT - value for value in _scaled(drawn.y, MAP_HEIGHT)]
    size = min(9.0, max(2.2, 420 / len(x) ** 0.5))
    dots: dict[int, list[str]] = {}
    for place, code in enumerate(drawn.code):
        dots.setdefault(code, []).append(f"M{x[place]:.0f} {y[place]:.0f}h0")
    last = len(drawn.words) - 1
    named = {
        code: "rest" if drawn.words and drawn.words[code][0] == "other" and code == last else f"w{code}"
        for code in dots
    }
    paths = [
        element("path", class_=f"dots {named[code]}", d="".join(dots[code]), stroke_width=f"{size:.1f}")
        for code in sorted(dots, reverse=True)
    ]
    rings = "".join(_ring(x[place], y[place], size) for place in drawn.marked)
    return element(
        "svg", paths, element("path", class_="rings", d=rings) if rings else None,
        viewBox=f"0 0 {MAP_WIDTH} {MAP_HEIGHT}", role="img", aria_label=label, class_="map",
    )  # fmt: skip


def _scaled(values: Sequence[float], length: float) -> list[float]:
    low, high = min(values), max(values)
    room = length - 2 * MAP_MARGIN
    return [MAP_MARGIN + (value - low) / ((high - low) or 1.0) * room for value in values]


def _ring(x: float, y: float, size: float) -> str:
    radius = f"{size * 0.9 + 1.5:.1f}"
    half = f"a{radius} {radius} 0 1 0"
    return f"M{x - float(radius):.1f} {y:.0f}{half} {2 * float(radius):.1f} 0{half} {-2 * float(radius):.1f} 0"


def data_uri(svg: str) -> str:
    """Return an SVG picture as the address of an image."""
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"


def drawing(counts: Sequence[int], low: float, high: float) -> str:
    """Return a histogram with its range as an image address that fits into a line of metadata."""
    width, height = 240, 48
    texts = [
        element("text", number(low), x=0, y=60),
        element("text", number(high), x=width, y=60, text_anchor="end"),
    ]
    content = [
        element("path", d=bars(counts, width, height), fill="#5a9"),
        element("g", texts, fill="#888", font_size=11),
    ]
    return data_uri(f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="64">{markup(content)}</svg>')


def dotted(x: Sequence[float], y: Sequence[float], width: int = 480, height: int = 320) -> str:
    """Return points as an image address."""
    across, down = _scaled(x, width), _scaled(y, height)
    dots = "".join(f"M{a:.0f} {height - b:.0f}h0" for a, b in zip(across, down, strict=True))
    style = 'fill="none" stroke="#5a9" stroke-width="3" stroke-linecap="round" stroke-opacity=".6"'
    return data_uri(
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"><path {style} d="{dots}"/></svg>'
    )
