"""What models say: their predictions for every sample, as dropped files give them."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from brain_assets.incremental.signal import Check, MethodRun, Publication, Signal, Whole
from brain_assets.incremental.update import Update
from brain_assets.ingest import accounting, input_rows, names
from brain_assets.resources.dataset import Dataset
from brain_assets.resources.label_formats.annotations import PREDICTION_TABLES, iter_names, scored
from brain_assets.resources.label_formats.door import TABLE_FORMS, recognise
from brain_assets.resources.label_formats.input_files import InputFile, list_predictions
from brain_assets.resources.label_formats.predictions import PREDICTION_ROWS, predicted_rows, predictions_of
from brain_assets.resources.label_formats.tables import read_table_file
from brain_assets.resources.store.store import Merge
from brain_assets.resources.tabular import Reading

ROWS = """
    select sample_id, label_field, model, rows.source, rows.file, key, digest from prediction_rows rows
    join prediction_names names on names.source = rows.source and names.file = rows.file and name = key
    semi join live_samples using (sample_id)
    qualify row_number() over (
        partition by sample_id, label_field, model order by created_at desc nulls last, rows.source desc,
            rows.file desc, line desc
    ) = 1"""


SCHEMAS = {"prediction_rows": PREDICTION_ROWS, **dict(iter_names(PREDICTION_TABLES))}


def update_predictions(update: Update) -> Iterator[Merge]:
    """Read prediction files that are new or touched, and find for every sample the row that counts."""
    dataset = update.dataset
    found = input_rows.changes(update, "predictions", list_predictions(dataset.settings, dataset.paths))
    if not found and dataset.store.version(update.signal.reads) <= update.since:
        return
    yield from input_rows.merge_files(update, found, lambda file: _read(update, file), SCHEMAS)
    yield from names.resolved(update, found)
    yield Merge("predictions", ROWS, within="true")


def _read(update: Update, file: InputFile) -> Mapping[str, Reading]:
    found, classes = recognise(file), update.dataset.settings.classes
    if found.form in TABLE_FORMS:
        return read_table_file(file, found.form, "predictions", classes)
    said, file = found.read("predictions"), replace(file, model=found.model)
    read = scored(said, classes).readings(file, found.model, PREDICTION_TABLES)
    of_images = predictions_of(predicted_rows(said.labels.values()), file, classes) if said.labels else None
    return read | ({"prediction_rows": of_images} if of_images else {})


def _runs(dataset: Dataset) -> list[MethodRun]:
    settings = dataset.settings
    predictions = [one.model_dump() for one in settings.predictions]
    return [MethodRun("predictions", {"predictions": predictions, "classes": settings.classes})]


PREDICTIONS = Signal(
    name="predictions",
    description="What each model predicts for each sample, from files dropped into the dataset's folder. All rows of all files"
    " are kept; the last file of a model wins, sample by sample, and taking it away undoes it.",
    group="labels",
    reads=("samples",),
    writes=("predictions", "prediction_rows", "prediction_names", *PREDICTION_TABLES, "input_files", "rejected_rows"),
    update=Whole(update_predictions),
    version="5",
    runs=_runs,
    always=True,
    checks=(
        Check(
            "no_prediction_without_a_sample",
            "select count(*) from predictions anti join samples using (sample_id)",
            "No prediction is left of a sample that is gone.",
        ),
        Check(
            "every_prediction_has_its_row",
            "select count(*) from predictions anti join effective_predictions using (sample_id, label_field, model)",
            "Each prediction is still in a file.",
        ),
    ),
    publishes=(
        Publication(
            "predictions",
            """
            select sample_id, label_field, model, unnest(range(len(labels)))::integer as position, unnest(labels) as label,
                unnest([if(isnan(x), null, x) for x in confidences]) as confidence, logits, is_probability
            from effective_predictions order by label_field, model, sample_id, position""",
            {
                "sample_id": "The sample.",
                "label_field": "The field of labels that it speaks about.",
                "model": "The model.",
                "position": "0, or the position among several predicted classes.",
                "label": "The predicted class.",
                "confidence": "In [0, 1]; NULL where unknown.",
                "logits": "Scores over the classes; logarithms where is_probability.",
                "is_probability": "Whether probabilities were given instead of logits.",
            },
        ),
        input_rows.PUBLICATION,
        accounting.INPUT_FILES,
    ),
    metrics={
        "predicted": "select count(*) from predictions",
        "rejected_rows": f"select count(*) from ({input_rows.REJECTED_ROWS})",
        **accounting.METRICS,
    },
)
