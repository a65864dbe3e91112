"""How likely each label is wrong, by the confidence with which a model contradicts it."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from brain_assets.incremental.digests import Slice
from brain_assets.incremental.signal import Check, Histogram, IssueQuery, MethodRun, PerSubject, Publication, Signal
from brain_assets.incremental.update import Update, section_settings
from brain_assets.methods.labels import mistakenness as method
from brain_assets.methods.labels.mistakenness import NONE, LabelSets
from brain_assets.resources.dataset import Dataset
from brain_assets.signals.labels.class_overlaps import INCOMPARABLE, PUBLICATION, STRANGERS, note_strangers
from brain_assets.signals.labels.hardness import logit_matrices
from brain_assets.signals.labels.label_issues import COMPLETE, LABEL_ISSUES, LABEL_MISTAKE, MISSING_LABEL

PREDICTED = """
    select given.labels as given, predicted.sample_id, predicted.label_field, predicted.model, predicted.labels,
        confidences, logits, coalesce(multilabel, len(predicted.labels) > 1) as multilabel,
        coalesce(comparable, true) as comparable
    from effective_predictions predicted left join ground_truth given using (sample_id, label_field)
    left join class_overlaps shared on shared.label_field = predicted.label_field and shared.model = predicted.model"""
# In compat a labelled sample that a model did not predict has a row too.
PREDICTED_OR_LABELLED = """
    select given.labels as given, sample_id, label_field, model, predicted.labels, confidences, logits,
        coalesce(multilabel, len(predicted.labels) > 1) as multilabel, true as comparable
    from (select sample_id, label_field, model from predictions
        union select sample_id, label_field, model from ground_truth
            join (select distinct label_field, model from predictions) using (label_field))
    left join ground_truth given using (sample_id, label_field)
    left join effective_predictions predicted using (sample_id, label_field, model)"""


def _inputs(update: Update) -> list[Slice]:
    note_strangers(update, "class_overlaps")
    return [Slice(PREDICTED_OR_LABELLED if _mode(update) == "compat" else PREDICTED)]


def _mode(update: Update) -> method.Mode:
    mode: method.Mode = update.run.settings["MistakennessSettings"]["mode"]
    return mode


def judge_mistakenness(update: Update, rows: pa.Table, _: None) -> pa.Table:
    """Judge labels by predictions."""
    return _judged(rows, _mode(update))


def _judged(rows: pa.Table, mode: method.Mode) -> pa.Table:
    multilabel = rows.column("multilabel").to_numpy(zero_copy_only=False).astype(bool)
    values = np.full(rows.num_rows, np.nan)
    for chosen, judge in ((multilabel, _judge_sets), (~multilabel, _judge_single)):
        values[chosen] = judge(rows.filter(pa.array(chosen)), mode)
    values[~rows.column("comparable").to_numpy(zero_copy_only=False).astype(bool)] = np.nan
    labelled = rows.column("given").is_valid()
    table = rows.select(["sample_id", "label_field", "model"]).append_column("labelled", labelled)
    return table.append_column("mistakenness", pa.array(values, from_pandas=True))


def _judge_single(rows: pa.Table, mode: method.Mode) -> NDArray[np.float64]:
    import pyarrow.compute as pc

    given, predicted = (_first(codes) for codes in _sets(rows))
    confidence = pc.list_element(_padded(rows.column("confidences")), 0).to_numpy(zero_copy_only=False)
    return method.mistakenness(given, predicted, certainties(rows.column("logits"), confidence), mode=mode)


def _judge_sets(rows: pa.Table, mode: method.Mode) -> NDArray[np.float64]:
    given, predicted = _sets(rows)
    flat = rows.column("confidences").combine_chunks().flatten().to_numpy(zero_copy_only=False)
    confidence = method.multilabel_confidence(given, predicted, flat)
    return method.multilabel_mistakenness(given, predicted, certainties(rows.column("logits"), confidence), mode=mode)


def certainties(logits: pa.ChunkedArray, confidence: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the certainty of the scores over the classes where there are any, else the confidence."""
    sure = np.array(confidence, np.float64)
    for positions, matrix in logit_matrices(logits):
        sure[positions] = method.certainty(matrix)
    return sure


def _sets(rows: pa.Table) -> tuple[LabelSets, LabelSets]:
    """Return given and predicted classes as numbers of one dictionary."""
    lists = [rows.column(name).combine_chunks() for name in ("given", "labels")]
    flat = [one.flatten() for one in lists]
    codes = pa.concat_arrays(flat).dictionary_encode().indices.to_numpy(zero_copy_only=False).astype(np.int64)
    parts = np.split(codes, [len(flat[0])])
    return LabelSets(parts[0], _offsets(lists[0])), LabelSets(parts[1], _offsets(lists[1]))


def _offsets(lists: pa.ListArray) -> NDArray[np.int64]:
    import pyarrow.compute as pc

    lengths = pc.fill_null(lists.value_lengths(), 0).to_numpy(zero_copy_only=False)
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def _first(sets: LabelSets) -> NDArray[np.int64]:
    """Return the only class of each set, -1 where it is empty."""
    first = np.full(len(sets), NONE, np.int64)
    first[sets.sizes > 0] = sets.classes[sets.offsets[:-1][sets.sizes > 0]]
    return first


def _padded(lists: pa.ChunkedArray) -> pa.Array:
    import pyarrow.compute as pc

    return pc.if_else(
        pc.fill_null(pc.equal(pc.list_value_length(lists), 0), True), pa.scalar([None], lists.type), lists
    )


def _runs(dataset: Dataset) -> list[MethodRun]:
    return [MethodRun("mistakenness", section_settings(dataset.settings.mistakenness))]


# A contradiction by a model that is surer than one half. Labels that label_issues judges, which are those of fields with one
# label per sample, have their issue from there: a sample is told once.
THRESHOLD = 0.75

# What the peer gives an image in which nothing matched; the mode is what the rows were made with.
NOTHING_MATCHED = """(select if(settings ->> '$.MistakennessSettings.mode' = 'compat', -1.0, null)
                        from watermarks where asset = 'object_mistakenness')"""

MISTAKENNESS = Signal(
    name="mistakenness",
    description="How likely each label is wrong: a model contradicts it, and is sure. A sample without a label that a model is"
    " sure about is missing one.",
    group="labels",
    reads=("predictions", "prediction_rows", "builtin_predictions", "ground_truth", "input_files"),
    writes=("mistakenness",),
    update=PerSubject("mistakenness", ("sample_id", "label_field", "model"), _inputs, judge_mistakenness),
    runs=_runs,
    checks=(
        Check(
            "every_prediction_has_a_mistakenness",
            "select count(*) from predictions anti join mistakenness using (sample_id, label_field, model)",
            "Each prediction was compared with the label.",
        ),
    ),
    publishes=(
        Publication(
            "mistakenness",
            f"""
            select sample_id, label_field, model, coalesce(mistakenness.mistakenness, of_objects.mistakenness) as mistakenness,
                coalesce(possible_missing, 0) as possible_missing, coalesce(possible_spurious, 0) as possible_spurious
            from mistakenness full join (
                select sample_id, label_field, model, coalesce(max(mistakenness), {NOTHING_MATCHED}) as mistakenness,
                    count_if(possible_missing) as possible_missing, count_if(possible_spurious) as possible_spurious
                from object_mistakenness group by all
            ) of_objects using (sample_id, label_field, model)
            order by label_field, model, mistakenness desc nulls last, sample_id""",
            {
                "sample_id": "The sample.",
                "label_field": "The field of labels.",
                "model": "The model.",
                "mistakenness": "In [0, 1]: near 1 the model surely contradicts the label, near 0 it surely agrees; NULL"
                " where its confidence is unknown.",
                "possible_missing": "Objects that the model found and no label holds.",
                "possible_spurious": "Labelled objects that may not be there.",
            },
        ),
        PUBLICATION,
    ),
    issues=(
        IssueQuery(
            f"""
            select sample_id as subject_id, sample_id, null as object_id,
                if(given.labels is null, 'missing_label', 'label_mistake') as issue,
                if(label_field = 'ground_truth', model, label_field || '/' || model) as source,
                mistakenness as score, mistakenness >= {THRESHOLD} as is_issue,
                json_object('label_field', label_field, 'model', model, 'given', given.labels, 'suggested', predicted.labels,
                    'confidence', list_max([x for x in confidences if not isnan(x)]), 'threshold', {THRESHOLD}) as evidence
            from mistakenness join effective_predictions predicted using (sample_id, label_field, model)
            left join ground_truth given using (sample_id, label_field)
            where mistakenness is not null and model != 'builtin'
                and (given.labels is not null or label_field in ({COMPLETE}))
                and (label_field, model) not in ({INCOMPARABLE.format(view="class_overlaps")})
                and list_sort(given.labels) is distinct from list_sort(predicted.labels)
                and label_field in (select label_field from ground_truth)
                and (sample_id, label_field) not in (
                    select (sample_id, label_field) from label_issues where brain_key = {LABEL_ISSUES.default_run})""",
            (LABEL_MISTAKE, MISSING_LABEL),
        ),
    ),
    metrics={
        "mean_mistakenness": "select coalesce(avg(mistakenness) filter (model != 'builtin'), avg(mistakenness), 0)"
        " from mistakenness",
        "models_without_shared_classes": STRANGERS,
    },
    chart=Histogram("mistakenness", "select mistakenness from mistakenness"),
    view={"colour": "mistakenness", "sort": "mistakenness"},
)
