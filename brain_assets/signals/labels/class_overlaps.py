"""Models that speak of other classes than the labels: nothing they say of a label is evidence, and one line says so."""

from brain_assets.incremental.signal import Publication
from brain_assets.incremental.update import Update

SHOWN = 4
NOTE = "no class in common"
# Models whose predictions are no evidence for or against the labels of a field.
INCOMPARABLE = "select label_field, model from {view} where not comparable"


def note_strangers(update: Update, view: str) -> None:
    """Say in the run's record which models share no class with the labels that they are of."""
    query = f"select label_field, model, labelled, predicted from {view} where not comparable order by all"
    lines = [
        f"{model} and the labels of {field} ({_some(labelled)} against {_some(predicted)}):"
        " nothing is judged by it; name the classes in the order of its numbers (classes: [...] in dataset.yaml)"
        for field, model, labelled, predicted in update.dataset.store.rows(query)
    ]
    if lines:
        update.notes[NOTE] = "; ".join(lines)


def _some(classes: list[str]) -> str:
    return ", ".join(classes[:SHOWN]) + (", ..." if len(classes) > SHOWN else "")


STRANGERS = """
    select (select count(*) from class_overlaps where not comparable)
        + (select count(*) from object_class_overlaps where not comparable)"""
PUBLICATION = Publication(
    "class_overlaps",
    """
    select label_field, model, 'images' as subjects, comparable, len(labelled)::integer as labelled,
        len(predicted)::integer as predicted, len(list_intersect(labelled, predicted))::integer as shared,
        labelled[:20] as label_examples, predicted[:20] as prediction_examples from class_overlaps
    union all
    select label_field, model, 'objects', comparable, len(labelled)::integer, len(predicted)::integer,
        len(list_intersect(labelled, predicted))::integer, labelled[:20], predicted[:20] from object_class_overlaps
    order by all""",
    {
        "label_field": "The field of labels.",
        "model": "The model.",
        "subjects": "images or objects: what the labels and predictions are of.",
        "comparable": "Whether they speak of the same classes; where not, no issue is raised from the model's predictions.",
        "labelled": "How many classes the labels have.",
        "predicted": "How many the model has.",
        "shared": "How many are in both.",
        "label_examples": "The first twenty classes of the labels.",
        "prediction_examples": "The first twenty classes of the model.",
    },
)
