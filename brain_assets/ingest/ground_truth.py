"""What people say: the labels of every sample, as files and folders give them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from brain_assets.incremental.signal import Check, MethodRun, Publication, Signal, Whole
from brain_assets.incremental.update import Update, literal
from brain_assets.ingest import input_rows, names
from brain_assets.ingest.reviews import holding
from brain_assets.resources.dataset import Dataset
from brain_assets.resources.label_formats.annotations import GROUND_TRUTH as HUMAN
from brain_assets.resources.label_formats.annotations import LABEL_TABLES, iter_names, label_readings
from brain_assets.resources.label_formats.door import TABLE_FORMS, recognise
from brain_assets.resources.label_formats.input_files import FOLDERS, IN_PATHS, NAMES, InputFile, list_labels
from brain_assets.resources.label_formats.labels import LABEL_ROWS
from brain_assets.resources.label_formats.tables import read_table_file
from brain_assets.resources.media.class_names import class_query
from brain_assets.resources.media.splits import FolderSplits, class_folders
from brain_assets.resources.settings.configuration import DatasetSettings, LabelSettings
from brain_assets.resources.store.store import Merge
from brain_assets.resources.tabular import Reading

DEFAULT_FIELD = "ground_truth"
# Of several files the last by declared address and name wins; of rows that name one sample in two ways, the last line.
FROM_FILES = """
    select sample_id, label_field, labels, multilabel, rows.source, rows.file, line from label_rows rows
    join label_names names on names.source = rows.source and names.file = rows.file and name = key
    where sample_id is not null"""
FROM_FOLDERS = """
    select sample_id, {field} as label_field, [folders[-1]] as labels, false as multilabel, {source} as source, '' as file,
        0 as line
    from (
        select sample_id, if(array_to_string(folders, '/') in ({lying}), folders[:-2], folders) as folders
        from (select sample_id, string_split(filepath, '/')[:-2] as folders from samples))
    where len(folders) > {splits} and array_to_string(folders, '/') not in ({naming})"""
FROM_NAMES = f"""
    select sample_id, {{field}} as label_field, [class] as labels, false as multilabel, {{source}} as source, '' as file,
        0 as line
    from (select sample_id, {class_query("filepath")} as class from samples) where class is not null"""
FOLDERS_OF_SAMPLES = "select distinct array_to_string(string_split(filepath, '/')[:-2], '/') from samples"
# A reviewer's label wins while the sample has the content that was looked at; where a field holds several classes, it
# names all of them, between commas.
ROWS = """
    with filed as (
        select sample_id, label_field, labels, multilabel from ({union})
        qualify row_number() over (partition by sample_id, label_field order by source desc, file desc, line desc) = 1
    ), relabelled as (
        select sample_id, {field} as label_field, value from ({said}) said join samples
            on sample_id = subject_id and samples.content_hash is not distinct from said.content_hash
    ), joined as (
        select sample_id, label_field, labels, value, coalesce(multilabel, (select bool_or(multilabel) from filed
            where label_field = {field}), false) as multilabel
        from filed full join relabelled using (sample_id, label_field)
    )
    select sample_id, label_field, multilabel, if(value is null, 'file', 'review') as origin,
        case when value is null then labels when multilabel then [trim(x) for x in string_split(value, ',')]
            else [value] end as labels, labels as filed
    from joined semi join live_samples using (sample_id)"""


SCHEMAS = {"label_rows": LABEL_ROWS, **dict(iter_names(LABEL_TABLES))}


def update_ground_truth(update: Update) -> Iterator[Merge]:
    """Read label files that are new or touched, and give every sample the label that counts."""
    dataset = update.dataset
    found = input_rows.changes(update, "labels", list_labels(dataset.settings, dataset.paths))
    # What files say, of which the predictions' are read later, is among what was found.
    if not found and dataset.store.version(("samples", "decisions", "moves")) <= update.since:
        return
    yield from input_rows.merge_files(update, found, lambda file: _read(update, file), SCHEMAS)
    yield from names.resolved(update, found)
    rows = ROWS.format(union=_union(dataset), field=literal(reviewed_field(dataset.settings)), said=holding("relabel"))
    yield Merge("ground_truth", rows, within="true")


def _read(update: Update, file: InputFile) -> Mapping[str, Reading]:
    found = recognise(file)
    if found.form in TABLE_FORMS:
        return read_table_file(file, found.form, "labels", update.dataset.settings.classes)
    said = found.read("labels")
    return said.readings(file, HUMAN, LABEL_TABLES) | label_readings(said, file)


def _union(dataset: Dataset) -> str:
    """Return the rows of files, and what names of folders and of images say where the dataset declares them as classes."""
    declared = {
        uri: [(number, one) for number, one in enumerate(dataset.settings.labels) if one.uri == uri] for uri in IN_PATHS
    }
    named = [FROM_NAMES.format(field=literal(one.field), source=number) for number, one in declared[NAMES]]
    return " union all ".join(
        [FROM_FILES, *named, *(_in_folders(dataset, declared[FOLDERS]) if declared[FOLDERS] else ())]
    )


def _in_folders(dataset: Dataset, declared: Sequence[tuple[int, LabelSettings]]) -> Iterator[str]:
    """Yield the rows of fields whose classes are the names of folders."""
    called = class_folders(folder for (folder,) in dataset.store.rows(FOLDERS_OF_SAMPLES))
    splits = FolderSplits(called) if dataset.settings.split_from == "folder" else None
    # Folders that say in which split their images are, or only that images lie there, are no classes.
    naming = [folder for folder in called.values() if splits and splits.names_one(folder)]
    lying = [folder for folder, name in called.items() if folder != name]
    lists = {"naming": _listed(["", *naming]), "lying": _listed(["", *lying])}
    for number, one in declared:
        yield FROM_FOLDERS.format(field=literal(one.field), source=number, splits=int(splits is not None), **lists)


def _listed(folders: Iterable[str]) -> str:
    return ", ".join(map(literal, folders))


def reviewed_field(settings: DatasetSettings) -> str:
    """Return the field that a reviewer's label is of: the default one, or the first where all have other names."""
    fields = [one.field for one in settings.labels]
    return DEFAULT_FIELD if DEFAULT_FIELD in fields or not fields else fields[0]


def _runs(dataset: Dataset) -> list[MethodRun]:
    settings = dataset.settings
    labels = [one.model_dump() for one in settings.labels]
    return [
        MethodRun("ground_truth", {"labels": labels, "classes": settings.classes, "split_from": settings.split_from})
    ]


GROUND_TRUTH = Signal(
    name="ground_truth",
    description="The label of every sample, from tables (CSV, Parquet, JSON, Excel), or the names of folders or images. All rows"
    " of all files are kept; the last file wins, and taking it away undoes it. A reviewer's label wins until it is undone.",
    group="labels",
    reads=("samples", "decisions", "input_files", "moves", "rejected_rows"),
    writes=("ground_truth", "label_rows", "label_names", *LABEL_TABLES),
    update=Whole(update_ground_truth),
    version="5",
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
            {
                "sample_id": "The sample.",
                "label_field": "The field of labels.",
                "labels": "Its classes; one entry unless the field holds several.",
                "origin": "file, or review where a reviewer relabelled it.",
            },
        ),
    ),
    metrics={"labelled": "select count(*) from ground_truth"},
    view={"colour": "label"},
)
