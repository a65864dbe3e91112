"""What a scan found, as people, code hosts and machines read it: text, JSON, SARIF, GitHub's commands, JUnit."""

import json
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from pathlib import PurePath
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

from brain_assets.app.scans import Outcome, Scan
from brain_assets.ingest.accounting import splits_told
from brain_assets.report.content import Finding
from brain_assets.signals.registry import issue_named

# Of each issue so many are named for people; a code host shows ten annotations of a step, and cuts off more of them.
FEW, ANNOTATED, DETAILS = 3, 10, 5
SARIF = "https://json.schemastore.org/sarif-2.1.0.json"


def as_text(scan: Scan) -> str:
    """Return a few lines for people: what there is, each issue with examples, and what was asked to hold."""
    lines = [f"{scan.folder}: {scan.samples} images, {scan.errors} unreadable"]
    if splits := splits_told(scan.splits, "none"):
        lines[0] += f"; {splits}"
    lines += [f"  {one}" for one in scan.inputs]
    for issue, count in scan.counts.items():
        new = f" ({scan.new[issue]} new)" if issue in scan.new else ""
        lines.append(f"  {count:6} {issue}{new}: {issue_named(issue).title.lower()}")
        told = [finding for name, finding in scan.findings if name == issue]
        lines += [f"           {one.subject.filepath}: {_reason(one)}" for one in told[:FEW]]
    lines += ["  no issues"] * (not scan.findings)
    for outcome in scan.outcomes:
        lines.append(f"{'ok' if outcome.passed else 'FAILED':6}  {outcome}")
        lines += [f"           {_told(*detail)}" for detail in outcome.details[:DETAILS]]
    return "\n".join(lines)


def as_json(scan: Scan) -> str:
    """Return everything as one JSON object."""
    found = {
        "folder": str(scan.folder),
        "dataset": scan.name,
        "home": str(scan.home.root),
        "passed": not scan.failed,
        "samples": scan.samples,
        "errors": scan.errors,
        "splits": scan.splits,
        "inputs": scan.inputs,
        "issues": scan.counts,
        "new": scan.new,
        "outcomes": [
            {"name": one.name, "value": one.value, "wanted": one.wanted, "passed": one.passed, "details": one.details}
            for one in scan.outcomes
        ],
        "findings": [_finding(issue, finding) for issue, finding in scan.findings],
        "health": scan.values,
    }
    return json.dumps(found, indent=2, default=str)


def _finding(issue: str, finding: Finding) -> dict[str, Any]:
    return {
        "issue": issue,
        "filepath": finding.subject.filepath,
        "sample_id": finding.subject.sample_id,
        "box": finding.subject.box,
        "labels": finding.subject.labels,
        "partner": finding.partner and finding.partner.filepath,
        "score": finding.score,
        "reason": _reason(finding),
        "new": finding.is_new,
        "evidence": finding.evidence,
    }


def as_sarif(scan: Scan) -> str:
    """Return SARIF 2.1.0: a rule for each issue and clause, an error where it makes the scan fail, else a warning."""
    rules = {issue: _rule(issue, issue_named(issue).title, issue_named(issue).meaning) for issue in scan.counts}
    results = [
        _result(issue, _level(scan, issue), _reason(finding), scan.path_of(finding.subject.filepath))
        for issue, finding in scan.findings
    ]
    for outcome in scan.failed:
        rules[outcome.name] = _rule(outcome.name, outcome.name, f"Wanted is {outcome.wanted}.")
        results.append(_result(outcome.name, "error", str(outcome), scan.path_of("")))
        results += [_result(outcome.name, "error", says, scan.path_of(path or "")) for path, says in outcome.details]
    driver = {"name": "brain-assets", "version": version("brain-assets"), "rules": list(rules.values())}
    run = {"tool": {"driver": driver}, "results": results}
    return json.dumps({"$schema": SARIF, "version": "2.1.0", "runs": [run]}, indent=2)


def _level(scan: Scan, issue: str) -> str:
    return "error" if issue in scan.failing_issues else "warning"


def _rule(name: str, title: str, meaning: str) -> dict[str, Any]:
    return {"id": name, "shortDescription": {"text": title}, "fullDescription": {"text": meaning or title}}


def _result(rule: str, level: str, text: str, path: str) -> dict[str, Any]:
    address = PurePath(path)
    uri = address.as_uri() if address.is_absolute() else quote(address.as_posix())
    place = {"physicalLocation": {"artifactLocation": {"uri": uri}}}
    return {"ruleId": rule, "level": level, "message": {"text": text}, "locations": [place]}


def as_github(scan: Scan) -> str:
    """Return workflow commands, which become annotations of a pull request; what fails comes first."""
    commands = []
    for outcome in scan.failed:
        commands.append(_command("error", outcome.name, str(outcome)))
        commands += [_command("error", outcome.name, says, scan.path_of(path)) for path, says in _placed(outcome)]
    # What fails first, then what is new.
    told = sorted(scan.findings, key=lambda one: (one[0] not in scan.failing_issues, not one[1].is_new))
    commands += [
        _command(_level(scan, issue), issue, _reason(finding), scan.path_of(finding.subject.filepath))
        for issue, finding in told[:ANNOTATED]
    ]
    counted = ", ".join(f"{count} {issue}" for issue, count in scan.counts.items()) or "no issues"
    return "\n".join([*commands, _command("notice", "brain scan", f"{scan.samples} images: {counted}")])


def _placed(outcome: Outcome) -> Iterator[tuple[str, str]]:
    yield from [(path, says) for path, says in outcome.details if path is not None][:ANNOTATED]


def _command(kind: str, title: str, text: str, path: str = "") -> str:
    """Return a workflow command; what would end it early is escaped."""
    place = f"file={_property(path)}," if path else ""
    return f"::{kind} {place}title={_property(title)}::{_escaped(text)}"


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _escaped(text).replace(":", "%3A").replace(",", "%2C")


def as_markdown(scan: Scan) -> str:
    """Return the summary of a job, or a comment on a pull request."""
    verdict = f"failed: {len(scan.failed)} of {len(scan.outcomes)}" if scan.failed else "passed"
    lines = [f"### brain scan of `{scan.path_of('').rstrip('/') or '.'}`: {verdict}", ""]
    splits = splits_told(scan.splits, "none")
    lines += [f"{scan.samples} images, {scan.errors} unreadable" + (f"; {splits}" if splits else ""), ""]
    if scan.outcomes:
        lines += ["| | what | measured | wanted |", "| --- | --- | --- | --- |"]
        lines += [_row(one) for one in scan.outcomes] + [""]
    if scan.counts:
        lines += ["| issue | images or objects | new since the last scan | example |", "| --- | --- | --- | --- |"]
        for issue, count in scan.counts.items():
            first = next(finding for name, finding in scan.findings if name == issue)
            example = _cell(f"{first.subject.filepath}: {_reason(first)}")
            lines.append(f"| {issue_named(issue).title} | {count} | {scan.new.get(issue, 0)} | {example} |")
    return "\n".join(lines)


def _row(outcome: Outcome) -> str:
    value = "not measured" if outcome.value is None else f"{outcome.value:.6g}"
    return f"| {'✅' if outcome.passed else '❌'} | {_cell(outcome.name)} | {value} | {outcome.wanted} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")


def as_junit(scan: Scan) -> str:
    """Return JUnit's XML: a test for all that was asked to hold, and one that passes for each issue that nobody asked about."""
    suite = ElementTree.Element("testsuite", name="brain scan", tests="", failures=str(len(scan.failed)))
    for outcome in scan.outcomes:
        case = ElementTree.SubElement(suite, "testcase", classname="brain", name=_xml(outcome.name))
        if not outcome.passed:
            failure = ElementTree.SubElement(case, "failure", message=_xml(str(outcome)))
            failure.text = _xml("\n".join(_told(*detail) for detail in outcome.details))
    for issue, count in scan.counts.items():
        case = ElementTree.SubElement(suite, "testcase", classname="brain.issues", name=issue)
        told = [f"{one.subject.filepath}: {_reason(one)}" for name, one in scan.findings if name == issue]
        ElementTree.SubElement(case, "system-out").text = _xml("\n".join([f"{count} {issue}", *told]))
    suite.set("tests", str(len(scan.outcomes) + len(scan.counts)))
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True)


def _xml(text: str) -> str:
    """Return a text without characters that XML cannot hold; names of files may have any."""
    return "".join(one if one >= " " or one in "\n\t" else "?" for one in text.encode("utf-8", "replace").decode())


def _reason(finding: Finding) -> str:
    return " ".join(finding.reason.split())


def _told(path: str | None, says: str) -> str:
    return f"{path}: {says}" if path else says


FORMATS: Mapping[str, Callable[[Scan], str]] = {
    "text": as_text,
    "json": as_json,
    "sarif": as_sarif,
    "github": as_github,
    "junit": as_junit,
    "markdown": as_markdown,
}
