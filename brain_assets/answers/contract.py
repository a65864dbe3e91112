"""What must hold of a dataset, written down in a file: classes, counts, sizes, boxes, leaks, limits on health.

Every clause is a number, measured with the dataset's health after each change, and a gate on it: what holds of gates
(``brain check``, Dagster's checks, blocking, the course of each number) holds of a contract.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import duckdb
import yaml
from pydantic import BeforeValidator, Field

from brain_assets.incremental.update import literal
from brain_assets.resources.label_formats.annotations import GROUND_TRUTH
from brain_assets.resources.settings.configuration import GateSettings, Section, read_section

PREFIX = "contract."
PROPOSED = """\
# What must hold of the dataset; 'brain contract schema' prints all that can be said here.
"""
Operator = Literal["<=", ">="]
# The tables that clauses are about, as they are published; where they are measured, a query stands for each.
TABLES = ("samples", "ground_truth", "objects", "leaks")
SAMPLES = "(select * from {samples} where status != 'dropped')"
BOXES = "(select * from {objects} where source = 'ground_truth' and label_field = {field})"
LABELS = f"""(
    select sample_id, unnest(labels) as label from {{ground_truth}} semi join {SAMPLES} using (sample_id)
    where label_field = {{field}}
    union all select sample_id, label from {BOXES})"""
COUNTED = f"""(
    select label, split, count(*) as count from {LABELS} join {SAMPLES} using (sample_id)
    where label is not null group by label, split)"""
# In pixels; what has no size was not decoded.
SIDES = f"(select sample_id, format, least(width, height) as short, greatest(width, height) as long from {SAMPLES})"
PLACED = f"""(
    select boxes.sample_id, boxes.label, least(boxes.width * samples.width, boxes.height * samples.height) as short,
        greatest(-boxes.x, -boxes.y, boxes.x + boxes.width - 1, boxes.y + boxes.height - 1) as beyond
    from {BOXES} boxes join {SAMPLES} samples using (sample_id))"""


class Range(Section):
    """How many there may be."""

    min: int | None = Field(None, ge=0, description="At least so many.")
    max: int | None = Field(None, ge=0, description="At most so many.")


class ClassCount(Range):
    """How many labels of a class there may be, in all and in each split."""

    splits: dict[str, Range] = Field({}, description="The same for a split by its name.")


class ImageClause(Section):
    """What every image is like."""

    min_side: int | None = Field(None, ge=1, description="Pixels of the shorter side, at least.")
    max_side: int | None = Field(None, ge=1, description="Pixels of the longer side, at most.")
    formats: list[str] = Field([], description="The only formats, by content, such as [JPEG, PNG].")


class BoxClause(Section):
    """What every box of the labels is like."""

    inside: bool = Field(False, description="No box leaves its image by more than a thousandth of the side.")
    min_side: float | None = Field(None, gt=0, description="Pixels of the shorter side, at least.")
    max_per_image: int | None = Field(None, ge=1, description="Boxes of one image, at most.")


class Bounds(Section):
    """Limits of a number of the dataset's health."""

    min: float | None = Field(None, allow_inf_nan=False, description="At least.")
    max: float | None = Field(None, allow_inf_nan=False, description="At most.")


def _classes(value: Any) -> Any:
    """Return a list of names as classes without limits."""
    if isinstance(value, list):
        return {str(name): {} for name in value}
    return {name: said or {} for name, said in value.items()} if isinstance(value, Mapping) else value


class Contract(Section):
    """What must hold of a dataset of images."""

    severity: Literal["warn", "block"] = Field(
        "warn", description="block: while a clause fails, what was published before stays current."
    )
    field: str = Field(GROUND_TRUTH, description="The field of labels that the contract is about.")
    classes: Annotated[
        dict[str, ClassCount],
        BeforeValidator(_classes, json_schema_input_type=list[str] | dict[str, ClassCount | None]),
    ] = Field(
        {},
        description="The classes: no label has another. A list of names, or for each name how many labels (of whole images, or"
        " boxes) there may be.",
    )
    each_class: Range = Field(default_factory=Range, description="How many labels each class may have.")
    each_class_and_split: Range = Field(
        default_factory=Range, description="How many labels each class may have in each split."
    )
    samples: Range = Field(default_factory=Range, description="How many images there may be.")
    splits: dict[str, Range] = Field({}, description="The splits: no image is in another. For each how many images.")
    labelled: bool = Field(False, description="Every image has a label, or was looked at and found empty.")
    images: ImageClause = Field(default_factory=ImageClause)
    boxes: BoxClause = Field(default_factory=BoxClause)
    leaks: int | None = Field(None, ge=0, description="Images with a copy in another split, at most.")
    health: dict[str, Bounds] = Field(
        {}, description="Limits on numbers of the table health, such as unreadable_share: {max: 0.001}."
    )


@dataclass(frozen=True)
class Clause:
    """One thing that must hold.

    Attributes
    ----------
    name : str
        Where the contract says it.
    operator, limit
        How the number shall compare.
    value : str
        Query of the number, over `TABLES` in braces; empty where health measures it anyway.
    offenders : str
        Query of ``sample_id`` (or NULL) and a text, for what breaks the clause; empty where there is nothing to show.
    """

    name: str
    operator: Operator
    limit: float
    value: str = ""
    offenders: str = ""

    @property
    def metric(self) -> str:
        """Name of the number in health."""
        return PREFIX + self.name if self.value else self.name


def read_contract(path: str | Path) -> Contract:
    """Return what a file says; raises ConfigurationError with its line."""
    return read_section(Contract, Path(path))


def contract_gates(path: str | None) -> list[GateSettings]:
    """Return the gates that a contract's file stands for; none without a file."""
    if path is None:
        return []
    contract = read_contract(path)
    return [
        GateSettings(metric=one.metric, operator=one.operator, limit=one.limit, severity=contract.severity)
        for one in clauses(contract)
    ]


def fingerprint(path: str | None) -> dict[str, str]:
    """Return what the numbers of a contract depend on, as settings of a run."""
    if path is None:
        return {}
    return {"contract": hashlib.blake2b(read_contract(path).model_dump_json().encode(), digest_size=8).hexdigest()}


def filled(query: str, contract: Contract, tables: Mapping[str, str]) -> str:
    """Return a clause's query over tables, each by its name or by the query that it is published with.

    Examples
    --------
    >>> filled("select count(*) from {samples}", Contract(), {})
    'select count(*) from samples'
    """
    named = {table: f"({tables[table]})" if table in tables else table for table in TABLES}
    # Texts of the contract may have braces of their own.
    for name, text in {**named, "field": literal(contract.field)}.items():
        query = query.replace(f"{{{name}}}", text)
    return query


def clauses(contract: Contract) -> Iterator[Clause]:
    """Yield everything that a contract says, in the order in which its keys are documented."""
    yield from _of_classes(contract)
    yield from _of_each_class(contract)
    yield from _within("samples", contract.samples, f"select count(*) from {SAMPLES}")
    yield from _of_splits(contract)
    if contract.labelled:
        yield _none(
            "labelled",
            f"""select sample_id, 'it has no label' as says from {SAMPLES}
            where status = 'ok' and sample_id not in (select sample_id from {LABELS})""",
        )
    yield from _of_images(contract.images)
    yield from _of_boxes(contract.boxes)
    if contract.leaks is not None:
        # Of what is both a copy and of the group, a copy is said.
        leaking = """
            select sample_id, if(bool_and(kind = 'group'), 'others of its group are in ', 'it has a copy in ')
                || string_agg(distinct partner_split, ', ') as says from {leaks}"""
        yield _at_most("leaks", contract.leaks, f"{leaking} where brain_key = 'leaks' group by sample_id")
    for metric, bounds in contract.health.items():
        yield from _within(metric, bounds, "")


def _within(name: str, bounds: Range | Bounds, value: str, offenders: str = "") -> Iterator[Clause]:
    """Yield the clauses of a lower and an upper limit on one number."""
    for end, operator in (("min", ">="), ("max", "<=")):
        if (limit := getattr(bounds, end)) is not None:
            yield Clause(name, ">=" if operator == ">=" else "<=", limit, value, offenders)


def _at_most(name: str, limit: float, offenders: str) -> Clause:
    return Clause(name, "<=", limit, f"select count(*) from ({offenders})", offenders)


def _none(name: str, offenders: str) -> Clause:
    return _at_most(name, 0, offenders)


def _of_classes(contract: Contract) -> Iterator[Clause]:
    if not contract.classes:
        return
    known = ", ".join(map(literal, contract.classes))
    yield _none(
        "classes.unknown",
        f"""select sample_id, 'it is labelled ' || label || ', which is no class of the contract' as says
        from {LABELS} where label not in ({known})""",
    )
    for name, said in contract.classes.items():
        counted = f"select coalesce(sum(count), 0) from {COUNTED} where label = {literal(name)}"
        yield from _within(f"classes.{name}", said, counted)
        for split, bounds in said.splits.items():
            yield from _within(f"classes.{name}.{split}", bounds, f"{counted} and split = {literal(split)}")


def _of_each_class(contract: Contract) -> Iterator[Clause]:
    """Yield the clauses of all classes: those of the contract, else those that there are."""
    listed = ", ".join(f"({literal(name)})" for name in contract.classes)
    known = f"(values {listed}) known (label)" if listed else f"(select distinct label from {COUNTED}) known"
    for name, bounds, by in (
        ("each_class", contract.each_class, "label"),
        ("each_class_and_split", contract.each_class_and_split, "label || ' in ' || split"),
    ):
        splits = f"(select distinct split from {SAMPLES} where split is not null)" if "split" in by else "(select 1)"
        on = "using (label, split)" if "split" in by else "using (label)"
        counts = f"""
            select {by} as name, coalesce(sum(count), 0)::integer as count
            from {known} cross join {splits} left join {COUNTED} {on} group by 1"""
        for end, operator, fold in (("min", "<", "min"), ("max", ">", "max")):
            if (limit := getattr(bounds, end)) is not None:
                wrong = f"select null as sample_id, name || ': ' || count as says from ({counts}) where count {operator} {limit}"
                only = Range(**{end: limit})
                value = f"select coalesce({fold}(count), 0) from ({counts})"
                yield from _within(f"{name}.{end}", only, value, wrong)


def _of_splits(contract: Contract) -> Iterator[Clause]:
    if contract.splits:
        known = ", ".join(map(literal, contract.splits))
        yield _none(
            "splits.unknown",
            f"""select sample_id, coalesce('it is in the split ' || split, 'it is in no split') as says
            from {SAMPLES} where split is null or split not in ({known})""",
        )
    for split, bounds in contract.splits.items():
        yield from _within(f"splits.{split}", bounds, f"select count(*) from {SAMPLES} where split = {literal(split)}")


def _of_images(said: ImageClause) -> Iterator[Clause]:
    if said.min_side is not None:
        small = f"select sample_id, 'its shorter side has ' || short || ' pixels' as says from {SIDES}"
        yield _none("images.min_side", f"{small} where short < {said.min_side}")
    if said.max_side is not None:
        large = f"select sample_id, 'its longer side has ' || long || ' pixels' as says from {SIDES}"
        yield _none("images.max_side", f"{large} where long > {said.max_side}")
    if said.formats:
        known = ", ".join(literal(name.lower()) for name in said.formats)
        other = f"select sample_id, 'it is ' || format as says from {SIDES} where lower(format) not in ({known})"
        yield _none("images.formats", other)


def _of_boxes(said: BoxClause) -> Iterator[Clause]:
    if said.inside:
        out = f"select sample_id, 'a box of ' || label || ' leaves the image' as says from {PLACED} where beyond > 1e-3"
        yield _none("boxes.inside", out)
    if said.min_side is not None:
        told = "'a box of ' || label || ' has a side of ' || round(short, 1) || ' pixels'"
        yield _none("boxes.min_side", f"select sample_id, {told} as says from {PLACED} where short < {said.min_side}")
    if said.max_per_image is not None:
        many = f"select sample_id, 'it has ' || count(*) || ' boxes' as says from {BOXES} group by sample_id"
        yield _none("boxes.max_per_image", f"{many} having count(*) > {said.max_per_image}")


def schema() -> dict[str, Any]:
    """Return the JSON schema of a contract's file."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Contract.model_json_schema()}


def proposed(connection: duckdb.DuckDBPyConnection) -> str:
    """Return the text of a contract that a published dataset keeps as it is now.

    Its classes and splits are named, counts may fall by a tenth, and sides are those of the smallest image.
    """

    def rows(query: str) -> list[tuple[Any, ...]]:
        return connection.execute(filled(query, Contract(), {})).fetchall()

    classes = [str(label) for (label,) in rows(f"select distinct label from {COUNTED} order by 1")]
    splits = rows(f"select split, count(*) from {SAMPLES} where split is not null group by 1 order by 1")
    [(samples, without, side)] = rows(
        f"select count(*), count_if(split is null), min(least(width, height)) from {SAMPLES}"
    )
    said: dict[str, Any] = {"classes": classes} if classes else {}
    said["samples"] = {"min": samples - samples // 10}
    if splits and not without:
        said["splits"] = {split: {"min": count - count // 10} for split, count in splits}
    said["images"] = {"min_side": side} if side else {}
    said |= {"leaks": 0} if len(splits) > 1 else {}
    said["health"] = {"unreadable_share": {"max": 0.01}}
    return f"{PROPOSED}{yaml.safe_dump(said, sort_keys=False, allow_unicode=True)}"
