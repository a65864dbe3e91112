"""The reference page, written from what the code says of itself: `python -m brain_assets.app.reference > docs/reference.md`."""

import sys
from collections.abc import Iterator
from typing import Any

import click

from brain_assets.answers.published import BOOKKEEPING
from brain_assets.app.cli import main as command
from brain_assets.assets import catalog
from brain_assets.resources.label_formats.door import TABLE_FORMS, writers
from brain_assets.resources.label_formats.house import READ
from brain_assets.resources.label_formats.labelled import PARTS
from brain_assets.resources.settings.configuration import DatasetSettings, ServiceSettings, fields
from brain_assets.signals.registry import ISSUES

# What is read without a file of labels: names of folders, and metadata that are tables.
BY_MEDIA = ("folders", "huggingface")


def reference() -> str:
    """Return the page as Markdown: assets, issues, tables, formats of labels, settings and commands."""
    parts = (_assets(), _issues(), _tables(), _formats(), _settings(), _commands())
    return "\n".join(line for part in parts for line in part) + "\n"


def _assets() -> Iterator[str]:
    yield "# Reference\n\nWritten by `make docs` from the code; do not edit.\n\n## Assets\n"
    for signal in catalog.ALL:
        after = ", ".join(f"`{name}`" for name in catalog.upstream(signal)) or "the outside world"
        brought = f" Brought by `{signal.plugin}`." if signal.plugin else ""
        yield f"### {signal.name}\n\n{signal.description}\n\nGroup {signal.group}; reads {after}.{brought}\n"
        for check in signal.checks:
            yield f"- check `{check.name}`: {check.description}"
        yield ""


def _issues() -> Iterator[str]:
    raised: dict[str, list[str]] = {name: [] for name in ISSUES}
    for signal in catalog.ALL:
        for name in dict.fromkeys(issue.name for query in signal.issues for issue in query.issues):
            raised[name].append(f"`{signal.name}`")
    yield "## Issues\n\nIn the order in which to look at them; each is counted as the metric `issue_` and its name.\n"
    yield "| issue | title | meaning | advice | from |\n| --- | --- | --- | --- | --- |"
    for issue in ISSUES.values():
        yield f"| {issue.name} | {issue.title} | {issue.meaning} | {issue.advice} | {', '.join(raised[issue.name])} |"
    yield ""


def _tables() -> Iterator[str]:
    yield "## Published tables\n"
    publications = [publication for signal in catalog.ALL for publication in signal.publishes]
    for publication in [*publications, *BOOKKEEPING]:
        yield f"### {publication.table}\n\n| column | meaning |\n| --- | --- |"
        yield from (f"| {name} | {meaning} |" for name, meaning in publication.columns.items())
        yield ""


def _formats() -> Iterator[str]:
    """Yield what is read and written, as the formats say of themselves; those of other packages are left out."""
    own = {one.name: one for one in READ}
    tables = dict.fromkeys(sorted(TABLE_FORMS - own.keys() - writers().keys()), "table")
    titles = {name: one.title for name, one in (own | dict(writers())).items()} | tables
    yield "## Formats of labels\n\nWhat is written is read back as it was, and what a format has no words for is counted on the"
    yield "last line of the export.\n\n| format | what it is | read | written | holds | counts as not held |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for name in sorted(titles):
        read = "yes" if name in {*own, *TABLE_FORMS, *BY_MEDIA} else ""
        writer = writers().get(name)
        held = [part for part in PARTS if writer and part in writer.holds]
        lost = [part for part in PARTS if writer and part not in writer.holds]
        said = ["yes" if writer else "", *(", ".join(PARTS[part] for part in parts) for parts in (held, lost))]
        yield f"| `{name}` | {titles[name]} | {read} | {' | '.join(said)} |"
    yield ""


def _settings() -> Iterator[str]:
    for title, model in (("dataset.yaml", DatasetSettings), ("settings.yaml", ServiceSettings)):
        yield f"## Settings in {title}\n\n| key | default | meaning |\n| --- | --- | --- |"
        for key, field in fields(model):
            default = "required" if field.is_required() else f"`{field.default!r}`"
            yield f"| {key} | {default} | {field.description} |"
        yield ""


def _commands() -> Iterator[str]:
    yield "## Commands\n"
    whole = click.Context(command, info_name="brain", **command.context_settings)
    for name, part in sorted(_group(command).commands.items()):
        with click.Context(part, info_name=name, parent=whole) as context:
            yield f"### brain {name}\n\n```\n{part.get_help(context)}\n```\n"


def _group(group: Any) -> click.Group:
    assert isinstance(group, click.Group)
    return group


if __name__ == "__main__":
    sys.stdout.write(reference())
