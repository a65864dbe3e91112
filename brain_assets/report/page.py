"""A report as one self-contained HTML page: no script, nothing fetched, every text from data escaped."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from importlib.resources import files
from pathlib import PurePosixPath

from brain_assets.incremental.words import number, percent
from brain_assets.ingest.accounting import Account
from brain_assets.report.charts import course, histogram, scatter
from brain_assets.report.content import (
    ClassRow,
    Distribution,
    Finding,
    Gate,
    Group,
    Issue,
    Member,
    Metric,
    Report,
    Setting,
    Statistic,
    Subject,
)
from brain_assets.report.markup import Child, Element, element, markup
from brain_assets.report.thumbnails import Thumbnail
from brain_assets.signals.duplicates.leaks import LEAK
from brain_assets.signals.registry import ISSUES

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
# The set of tables that a page was made from, by which is seen whether it is current.
SET_NAME = "published-set"
Pictures = Mapping[str, Thumbnail]
# Numbers that are told large, where they were measured.
TILES = ("samples_with_issues", *(f"issue_{issue}" for issue in ISSUES))
MOST_TILES = 6
PIXELATED = 64


def render(report: Report, pictures: Pictures, mark: str) -> str:
    """Return the page.

    Parameters
    ----------
    report : Report
    pictures : mapping of str to Thumbnail
        By sample id; what has none is shown by its name.
    mark : str
        Kept in the page's head, to see what it was made from.
    """
    sections = [section for section in _sections(report, pictures) if section]
    body = element(
        "body",
        element("a", "Skip to the findings", href="#issues", class_="skip"),
        element("div", _header(report), _navigation(report), element("main", sections), _footer(report), class_="page"),
    )
    return f"<!doctype html>\n{element('html', _head(report, mark), body, lang='en')}\n"


def _head(report: Report, mark: str) -> Element:
    style = files("brain_assets.report").joinpath("report.css").read_text("utf-8")
    return element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name=SET_NAME, content=mark),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", f"{report.dataset} - data quality report"),
        element("style", Element(style)),
    )


def _sections(report: Report, pictures: Pictures) -> Iterable[Element | None]:
    yield _tiles(report)
    yield _overview(report)
    yield from (_issue(issue, report, pictures) for issue in report.issues)
    yield _map(report)
    yield _distributions(report.distributions)
    yield _classes(report)
    yield _statistics(report.statistics)
    yield _gates(report.gates)
    yield _settings(report.settings)
    yield _versions(report.versions)


# -- the head of the page ---------------------------------------------------------------------


def _header(report: Report) -> Element:
    splits = ", ".join(f"{number(count)} {name}" for name, count in report.splits)
    moment = f"{datetime.fromisoformat(report.published_at):%-d %B %Y, %H:%M} UTC" if report.published_at else ""
    told = [f"{number(report.samples)} images", splits, moment]
    behind = ", ".join(report.behind)
    damaged = ", ".join(report.damaged)
    return element(
        "header",
        element("p", "Data quality report", class_="kicker"),
        element("h1", _text(report.dataset)),
        element("p", " · ".join(one for one in told if one), class_="muted"),
        element("p", _verdict(report), class_="verdict"),
        *(element("p", _text(_sentence(one)), class_="warning" if one.is_lossy else "muted") for one in report.inputs),
        element("p", f"Not brought up to date by the last run: {behind}.", class_="warning") if behind else None,
        *(element("p", f"Failed: the run {one}", class_="warning") for one in report.failed_runs),
        element("p", f"Damaged, and empty here until the next run writes them again: {damaged}.", class_="warning")
        if damaged
        else None,
    )


def _sentence(account: Account) -> str:
    text = str(account)
    return text[:1].upper() + text[1:]


def _verdict(report: Report) -> Element:
    if not report.samples:
        return markup("There are no images in this dataset yet.")
    if not report.flagged:
        return markup(["Nothing was found wrong with any of the ", number(report.samples), " images."])
    share = percent(report.flagged / report.samples)
    worst = max(report.issues, key=lambda issue: issue.count, default=None)
    most = f", above all for {worst.title.lower()}." if worst and len(report.issues) > 1 else "."
    return markup(
        [
            element("strong", f"{number(report.flagged)} of {number(report.samples)} images"),
            f" ({share}) need a look{most}",
        ]
    )


def _navigation(report: Report) -> Element:
    links: list[tuple[str, str, int | None]] = [(one.issue, one.title, one.count) for one in report.issues]
    further = (
        ("map", "Map", report.map),
        ("scores", "Scores", report.distributions),
        ("classes", "Classes", report.classes),
    )
    links += [(place, title, None) for place, title, content in further if content]
    links.append(("settings", "Settings", None))
    return element(
        "nav",
        [element("a", title, _badge(count), href=f"#{place}") for place, title, count in links],
        aria_label="Sections",
    )


def _badge(count: int | None) -> Element | None:
    return None if count is None else element("span", number(count), class_="count")


def _tiles(report: Report) -> Element:
    by_name = {metric.name: metric for metric in report.metrics}
    chosen = [by_name[name] for name in TILES if name in by_name]
    shown = [by_name["samples"]] if "samples" in by_name else []
    return element(
        "section", [_tile(metric) for metric in [*shown, *chosen][:MOST_TILES]], class_="tiles", aria_label="Summary"
    )


def _tile(metric: Metric) -> Element:
    return element(
        "div",
        element("p", metric.title, class_="label"),
        element("p", number(metric.value), class_="value"),
        element(
            "div",
            _change(metric.value, metric.before, good=metric.name == "samples"),
            course(metric.course, f"{metric.title} over time"),
            class_="change",
        ),
        class_="tile",
    )


def _change(value: float, before: float | None, *, good: bool = False) -> Element:
    """Say what changed since the last run; more of an issue is bad, more images are neither."""
    if before is None:
        return element("span")
    difference = value - before
    if not difference:
        return element("span", "no change", class_="muted")
    tone = "muted" if good else "worse" if difference > 0 else "better"
    sign = "+" if difference > 0 else "\N{MINUS SIGN}"
    return element(
        "span", f"{sign}{number(abs(difference))}", element("span", " since the last run", class_="wide"), class_=tone
    )


def _bar(share: float) -> Element:
    """Return the cell of a bar that fills this share of it."""
    bar = element("span", class_="bar", style=f"width:{share * 100:.1f}%")
    return element("td", bar, class_="bars", aria_hidden="true")


def _overview(report: Report) -> Element:
    if not report.issues:
        return element("section", element("h2", "Findings"), element("p", "No issues.", class_="muted"), id="issues")
    most = max(issue.count for issue in report.issues)
    rows = [
        element(
            "tr",
            element("th", element("a", issue.title, href=f"#{issue.issue}"), scope="row"),
            _bar(max(0.005, issue.count / most)),
            element("td", number(issue.count), class_="number"),
            element("td", percent(issue.count / report.samples) if report.samples else "", class_="number muted"),
            element("td", _change(issue.count, issue.before), class_="delta"),
        )
        for issue in report.issues
    ]
    head = element("tr", *(element("th", title, scope="col", class_=kind) for title, kind in OVERVIEW))
    table = element("table", element("thead", head, class_="sr"), element("tbody", rows), class_="overview")
    return element("section", element("h2", "Findings"), table, id="issues")


OVERVIEW = (("Issue", None), ("", None), ("Images", "number"), ("Share", "number"), ("Change", None))


# -- issues -----------------------------------------------------------------------------------


def _issue(issue: Issue, report: Report, pictures: Pictures) -> Element:
    shown = [
        *(element("li", _group(one, pictures), style=f"--members:{len(one.members)}") for one in issue.groups),
        *(element("li", _card(one, pictures)) for one in issue.findings),
    ]
    kind = "groups" if issue.groups else "pairs" if any(one.partner for one in issue.findings) else "cards"
    return element(
        "section",
        element("h2", issue.title, _badge(issue.count)),
        element("p", issue.meaning, " ", element("span", issue.advice, class_="advice"), class_="lead")
        if issue.meaning
        else None,
        element("p", f"Of {number(issue.count)} {issue.expected}.") if issue.expected else None,
        _split_pairs(issue.split_pairs),
        element("ul", shown, class_=kind),
        element("p", _shown_of(issue), class_="muted small"),
        id=issue.issue,
    )


def _shown_of(issue: Issue) -> str:
    if issue.groups:
        more = issue.group_count > len(issue.groups)
        return f"The {len(issue.groups)} largest of {number(issue.group_count)} groups." if more else ""
    told = [one.subject.subject_id for one in issue.findings]
    told += [one.partner.subject_id for one in issue.findings if one.partner]
    kind = "pairs of" if issue.issue == LEAK.name else "of"
    return f"The surest {len(issue.findings)} {kind} {number(issue.count)}." if len(set(told)) < issue.count else ""


def _split_pairs(pairs: Sequence[tuple[str, str, int]]) -> Element | None:
    if not pairs:
        return None
    told = [
        element("span", f"{number(count)} of {split} also in {other}", class_="chip") for split, other, count in pairs
    ]
    return element("p", told, class_="chips")


def _card(finding: Finding, pictures: Pictures) -> Element:
    subject, partner, shared = finding.subject, finding.partner, finding.shared
    figures = [_figure(subject, pictures, shared.subject if shared else None)]
    if partner:
        figures.append(_figure(partner, pictures, shared.partner if shared else None))
    return element(
        "article",
        element("div", figures, class_="pictures"),
        element(
            "p",
            element("span", "new", class_="new") if finding.is_new else None,
            element("span", finding.reason),
            class_="reason",
        ),
        element(
            "p",
            element("span", f"{finding.score:.2f}", class_="score", title="How sure, from 0 to 1"),
            _place(subject),
            class_="small muted",
        ),
        class_="card",
    )


def _group(group: Group, pictures: Pictures) -> Element:
    hidden = group.size - len(group.members)
    return element(
        "article",
        element("p", f"{group.size} copies", f", {hidden} not shown" if hidden else "", class_="small muted"),
        element("div", [_member(member, pictures) for member in group.members], class_="members"),
        class_="card group",
    )


def _member(member: Member, pictures: Pictures) -> Element:
    distance = f"distance {number(member.distance)}" if member.distance else ""
    # What is kept is seen beside it: only why is told.
    why = member.reason.partition(" is kept: ")[2] or member.reason
    return element(
        "div",
        _figure(member.subject, pictures, member.shared.subject if member.shared else None),
        element("p", element("span", "keep", class_="keep") if member.keep else distance, class_="small muted"),
        element("p", why, class_="small muted why", title=member.reason) if not member.keep else None,
        class_="member kept" if member.keep else "member",
    )


def _figure(subject: Subject, pictures: Pictures, shared: Sequence[float] | None = None) -> Element:
    labels = ", ".join(subject.labels)
    caption = element(
        "figcaption",
        _text(PurePosixPath(subject.filepath).name, title=subject.filepath),
        element("span", " · ".join(word for word in (subject.split or "", labels) if word), class_="muted"),
    )
    return element("figure", _picture(subject, pictures, shared), caption)


def _picture(subject: Subject, pictures: Pictures, shared: Sequence[float] | None) -> Element:
    picture = pictures.get(subject.sample_id)
    if picture is None:
        kind = PurePosixPath(subject.filepath).suffix.lstrip(".")[:5].upper() or "?"
        return element("div", element("span", kind), class_="frame none", role="img", aria_label="no picture")
    small = "small-pixels" if max(picture.width, picture.height) < PIXELATED else None
    image = element(
        "img", src=picture.uri, alt=subject.filepath, width=picture.width, height=picture.height, class_=small
    )
    box = element("span", class_="box", style=_box(subject.box)) if subject.box else None
    # What objects share is told of their crops, and these are not shown.
    if shared and not subject.box:
        box = element("span", class_="box shared", style=_box(shared), title="What both show")
    return element("div", element("span", image, box, class_="within"), class_="frame")


def _box(sides: Sequence[float]) -> str:
    names = ("left", "top", "width", "height")
    return ";".join(f"{name}:{min(1.0, max(0.0, side)) * 100:.1f}%" for name, side in zip(names, sides, strict=True))


def _place(subject: Subject) -> Element:
    folder = str(PurePosixPath(subject.filepath).parent)
    size = f"{subject.width} \N{MULTIPLICATION SIGN} {subject.height}" if subject.width and subject.height else ""
    return markup([" ", element("bdi", " · ".join(one for one in (folder if folder != "." else "", size) if one))])


def _text(text: str, **attributes: str) -> Element:
    """Return a text from data, isolated from the direction of what is around it."""
    return element("bdi", text, **attributes)


# -- the dataset as a whole -------------------------------------------------------------------


def _map(report: Report) -> Element | None:
    drawn = report.map
    if drawn is None:
        return None
    shown = len(drawn.x)
    told = [
        f"{number(shown)} of {number(drawn.total)} images"
        if shown < drawn.total
        else f"All {number(drawn.total)} images"
    ]
    told.append(f"coloured by {drawn.coloured_by}" if drawn.coloured_by else "")
    told.append("outliers ringed" if drawn.marked else "")
    lead = ", ".join(one for one in told if one)
    names = [
        element(
            "span",
            _text(word),
            " ",
            element("span", number(count), class_="muted"),
            class_="key rest" if word == "other" and place == len(drawn.words) - 1 else f"key w{place}",
        )
        for place, (word, count) in enumerate(drawn.words)
    ]
    return element(
        "section",
        element("h2", "Map"),
        element("p", "Look-alikes lie close together. ", lead, ".", class_="lead"),
        element("div", scatter(drawn, f"Map of {lead}"), element("p", names, class_="legend"), class_="card"),
        id="map",
    )


def _distributions(distributions: Sequence[Distribution]) -> Element | None:
    if not distributions:
        return None
    cards = [element("li", _distribution(one)) for one in distributions]
    return element("section", element("h2", "Scores"), element("ul", cards, class_="charts"), id="scores")


def _distribution(one: Distribution) -> Element:
    width = one.high - one.low
    marks = [
        ("median", (one.median - one.low) / width),
        *([("cut", (one.cut - one.low) / width)] if one.cut is not None else []),
    ]
    label = (
        f"{one.title} of {number(one.count)} from {number(one.low)} to {number(one.high)}, median {number(one.median)}"
    )
    ends = element(
        "p",
        element("span", number(one.low)),
        element("span", f"median {number(one.median)}"),
        element("span", number(one.high)),
        class_="ends",
    )
    return element(
        "article", element("h3", one.title), element("p", one.meaning, class_="small muted"),
        histogram(one.counts, label, marks), ends, class_="card",
    )  # fmt: skip


def _classes(report: Report) -> Element | None:
    if not report.classes:
        return None
    rows = report.classes
    scores: list[tuple[str, Callable[[ClassRow], float | None]]] = [
        ("Mean hardness", lambda row: row.hardness), ("Mean mistakenness", lambda row: row.mistakenness),
    ]  # fmt: skip
    scores = [(title, score) for title, score in scores if any(score(row) is not None for row in rows)]
    most = max(row.count for row in rows)
    body = [
        _row(
            _text(row.label),
            _bar(row.count / most),
            *_numbers([number(row.count), number(row.flagged), percent(row.flagged / row.count)]),
            *_numbers([number(score(row)) for _, score in scores]),
        )
        for row in rows
    ]
    titles = ["Images", "Flagged", "Share", *(title for title, _ in scores)]
    head = _titles("Class", *titles, bars=True)
    hidden = report.class_count - len(rows)
    lead = f"{number(report.class_count)} classes, those with the largest share of flagged images first."
    more = f" The {number(hidden)} smallest are left out." if hidden > 0 else ""
    table = _scrolled("Classes", element("table", head, element("tbody", body)))
    return element("section", element("h2", "Classes"), element("p", lead, more, class_="lead"), table, id="classes")


def _statistics(statistics: Sequence[Statistic]) -> Element | None:
    if not statistics:
        return None
    rows = [(one.meaning, [one.least, one.low, one.median, one.high, one.most]) for one in statistics]
    body = [_row(name, *_numbers([number(value) for value in values])) for name, values in rows]
    head = _titles("Property", "Least", "5 %", "Median", "95 %", "Most")
    table = _scrolled("Properties of the images", element("table", head, element("tbody", body)))
    return element("section", element("h2", "Properties of the images"), table, id="properties")


def _titles(first: str, *numbers: str, bars: bool = False) -> Element:
    """Return the head of a table: the title of its rows, room for bars, and the titles of its columns of numbers."""
    return element(
        "thead",
        element(
            "tr",
            element("th", first, scope="col"),
            element("th", "", class_="bars") if bars else None,
            [element("th", title, scope="col", class_="number") for title in numbers],
        ),
    )


def _row(name: Child, *cells: Child) -> Element:
    return element("tr", element("th", name, scope="row"), cells)


def _numbers(texts: Sequence[str]) -> list[Element]:
    return [element("td", text, class_="number") for text in texts]


def _scrolled(name: str, table: Element) -> Element:
    """Return a table that scrolls sideways where the window is narrow, by keyboard too."""
    return element("div", table, class_="scroll", tabindex="0", role="region", aria_label=name)


def _gates(gates: Sequence[Gate]) -> Element | None:
    if not gates:
        return None
    rows = [
        _row(
            element("code", gate.condition),
            *_numbers([number(gate.value)]),
            element("td", "holds" if gate.passed else "fails", class_="better" if gate.passed else "worse"),
        )
        for gate in gates
    ]
    return element("section", element("h2", "Gates"), element("table", element("tbody", rows)), id="gates")


def _settings(settings: Sequence[Setting]) -> Element:
    chosen = [one for one in settings if one.origin != "default"]
    defaults = [one for one in settings if one.origin == "default"]
    return element(
        "section",
        element("h2", "Settings"),
        _setting_table(chosen),
        element("details", element("summary", f"{len(defaults)} more are as they come"), _setting_table(defaults))
        if defaults
        else None,
        id="settings",
    )


def _setting_table(settings: Sequence[Setting]) -> Element:
    rows = [
        _row(element("code", one.key), element("td", _text(one.value)), element("td", one.origin, class_="muted"))
        for one in settings
    ]
    return _scrolled("Settings", element("table", element("tbody", rows), class_="settings"))


def _versions(versions: Sequence[tuple[str, str]]) -> Element:
    told = [element("span", name, " ", element("b", version), class_="chip") for name, version in versions]
    return element("section", element("h2", "Versions"), element("p", told, class_="chips"), id="versions")


def _footer(report: Report) -> Element:
    return element(
        "footer",
        element(
            "p",
            f"Published set {report.set_number}. See more of it with ",
            element("code", f'brain sql {report.dataset} "from issues"'),
            ", or look at it with ",
            element("code", "brain up"),
            ".",
        ),
    )
