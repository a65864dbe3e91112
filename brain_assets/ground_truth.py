"""What people say: the labels of every sample, as files and folders give them."""

from collections.abc import Iterator, Mapping

from brain_assets import input_rows
from brain_assets.incremental import Check, Derivation, MethodRun, Publication, Update, literal
from resources.annotations import GROUND_TRUTH as HUMAN
from resources.annotations import LABEL_TABLES, iter_names, read_annotations
from resources.dataset import Dataset
from resources.input_files import FOLDERS, TABLES, InputFile, list_labels
from resources.labels import LABEL_ROWS, read_labels
from resources.store import Merge
from resources.tabular import Reading

# Of several files the last by declared address and name wins; of rows that name one sample in two ways, the last line.
FROM_FILES = """
    select sample_id, label_field, labels, multilabel, source, file, line from label_rows join sample_keys using (key)"""
FROM_FOLDERS = """
    select sample_id, {field} as label_field, [folders[-1]] as labels, false as multilabel, {source} as source, '' as file,
        0 as line
    from (select sample_id, string_split(filepath, '/')[:-2] as folders from samples)
    where len(folders) > {splits}"""
ROWS = """
    select sample_id, label_field, labels, multilabel, 'file' as origin from ({union})
    qualify row_number() over (partition by sample_id, label_field order by source desc, file desc, line desc) = 1"""


SCHEMAS = {"label_rows": LABEL_ROWS, **dict(iter_names(LABEL_TABLES))}


def update_ground_truth(update: Update) -> Iterator[Merge]:
    """Read label files that are new or touched, and give every sample the label that counts."""
    dataset = update.dataset
    found = input_rows.changes(update, "labels", list_labels(dataset.settings, dataset.paths))
    if not found and dataset.store.version(update.derivation.reads) <= update.since:
        return
    yield from input_rows.merge_files(update, found, lambda file: _read(update, file), SCHEMAS)
    yield Merge("ground_truth", ROWS.format(union=_union(dataset)), within="true")


def _read(update: Update, file: InputFile) -> Mapping[str, Reading]:
    form = input_rows.form_of(file)
    if form in input_rows.OBJECT_FORMATS:
        return read_annotations(file, form).readings(file, HUMAN, LABEL_TABLES)
    if f".{form}" not in TABLES:
        return {"label_rows": _none(input_rows.unknown_form(file))}
    return {"label_rows": read_labels(file, form, update.dataset.settings.classes)}


def _none(reading: Reading) -> Reading:
    return Reading(LABEL_ROWS.empty_table(), reading.rejected)


def _union(dataset: Dataset) -> str:
    """Return the rows of files, and the names of folders where the dataset declares them as classes."""
    splits = int(dataset.settings.split_from == "folder")
    folders = [
        FROM_FOLDERS.format(field=literal(one.field), source=number, splits=splits)
        for number, one in enumerate(dataset.settings.labels)
        if one.uri == FOLDERS
    ]
    return " union all ".join([FROM_FILES, *folders])


def _runs(dataset: Dataset) -> list[MethodRun]:
    settings = dataset.settings
    labels = [one.model_dump() for one in settings.labels]
    return [
        MethodRun("ground_truth", {"labels": labels, "classes": settings.classes, "split_from": settings.split_from})
    ]


GROUND_TRUTH = Derivation(
    name="ground_truth",
    description="The label of every sample, from files (CSV, Parquet, JSONL) or the names of folders. All rows of all files are"
    " kept; the last file wins, and taking it away undoes it.",
    group="labels",
    reads=("samples",),
    writes=("ground_truth", "label_rows", *LABEL_TABLES),
    update=update_ground_truth,
    runs=_runs,
    always=True,
    checks=(
        Check(
            "no_label_without_a_sample",
            "select count(*) from ground_truth anti join samples using (sample_id)",
            "No label is left of a sample that is gone.",
        ),
    ),
    publishes=(
        Publication(
            "ground_truth",
            "select sample_id, label_field, labels, origin from ground_truth order by label_field, sample_id",
            ("ground_truth",),
            {
                "sample_id": "The sample.",
                "label_field": "The field of labels.",
                "labels": "Its classes; one entry unless the field holds several.",
                "origin": "file or review.",
            },
        ),
    ),
    metrics={"labelled": "select count(*) from ground_truth"},
)
