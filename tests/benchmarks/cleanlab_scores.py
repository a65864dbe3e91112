"""cleanlab's label scores, computed by a Python of its own so that its packages stay out of ours.

Set ``CLEANLAB_PYTHON`` to the interpreter of an environment that has cleanlab (2.9 was tried). ``scores`` runs this file
with it; scores are turned round so that 1 is surely an issue.
"""

import os
import pickle
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any


def scores(task: str, **inputs: Any) -> dict[str, Any] | None:
    """Return cleanlab's scores by name, or None with a word on stdout where it is not set up."""
    python = os.environ.get("CLEANLAB_PYTHON")
    if not python:
        print("cleanlab left out: set CLEANLAB_PYTHON to the Python of an environment that has it")
        return None
    with tempfile.TemporaryDirectory() as folder:
        given, found = Path(folder) / "given", Path(folder) / "found"
        given.write_bytes(pickle.dumps(inputs))
        subprocess.run([python, __file__, task, given, found], check=True, env={"PATH": "", "OMP_NUM_THREADS": "1"})
        return pickle.loads(found.read_bytes())


def classification(labels: Any, probabilities: Any, vectors: Any) -> dict[str, Any]:
    """Return the label-quality scores, what confident learning and Datalab make of them, and Datalab of vectors alone."""
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    methods = ("self_confidence", "normalized_margin", "confidence_weighted_entropy")
    found = {name: 1 - get_label_quality_scores(labels, probabilities, method=name) for name in methods}
    adjusted = get_label_quality_scores(labels, probabilities, method="normalized_margin", adjust_pred_probs=True)
    # As it hands them out: those that it takes for issues first, by self-confidence.
    learned = found["self_confidence"] + find_label_issues(labels, probabilities)
    lab = {name: 1 - _datalab(labels, {name: given})["label_score"].to_numpy() for name, given in
           (("features", vectors), ("pred_probs", probabilities))}  # fmt: skip
    datalab = {"Datalab, vectors": lab["features"], "Datalab, probabilities": lab["pred_probs"]}
    return {"confident learning": learned, **datalab, **found, "margin adjusted": 1 - adjusted}


def of_vectors(labels: Any, vectors: Any, ours: Any) -> dict[str, Any]:
    """Return the scores of confident learning and Datalab, and the labels that their filters take out.

    What needs probabilities is given those of a logistic regression on the vectors, in five folds. Confident learning is
    tried with ``ours``, too.
    """
    from cleanlab.filter import find_label_issues
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_predict

    model = LogisticRegression(max_iter=100)
    probabilities = cross_val_predict(model, vectors, labels, cv=5, method="predict_proba")
    alone, both = (_datalab(labels, given) for given in ({"features": vectors}, {"pred_probs": probabilities}))
    filters = ("prune_by_noise_rate", "prune_by_class", "both", "confident_learning", "predicted_neq_given")
    flags = {name: find_label_issues(labels, probabilities, filter_by=name) for name in filters}
    flags["on builtin"] = find_label_issues(labels, ours)
    doubt = 1 - probabilities[range(len(labels)), labels]
    scores = {
        # As it hands them out: those that it takes for issues first, by self-confidence.
        "confident learning": doubt + flags["prune_by_noise_rate"],
        "confident learning on builtin": 1 - ours[range(len(labels)), labels] + flags["on builtin"],
        "datalab, vectors": 1 - alone["label_score"].to_numpy(),
        "datalab, probabilities": 1 - both["label_score"].to_numpy(),
    }
    flags |= {"datalab, vectors": alone["is_label_issue"].to_numpy()}
    return {"scores": scores, "flags": flags, "probabilities": probabilities}


def _datalab(labels: Any, given: dict[str, Any]) -> Any:
    from cleanlab import Datalab

    lab = Datalab({"label": labels}, label_name="label", verbosity=0)
    lab.find_issues(**given, issue_types={"label": {}})
    return lab.get_issues("label")


def detection(labels: list[Any], predictions: list[Any], cuts: list[float]) -> dict[float, dict[str, Any]]:
    """Return, for each confidence cut, ObjectLab's scores per box, pooled per image, and their CPU seconds.

    A missing object has a score per predicted box, NaN for those below the cut; the other two one per label.
    """
    return {cut: _object_lab(labels, predictions, cut) for cut in cuts}


def _object_lab(labels: list[Any], predictions: list[Any], cut: float) -> dict[str, Any]:
    import time

    from cleanlab.object_detection import rank

    started = time.process_time()
    both = {"labels": labels, "predictions": predictions}
    boxes = {
        "missing": rank.compute_overlooked_box_scores(**both, high_probability_threshold=cut),
        "badloc": rank.compute_badloc_box_scores(**both, low_probability_threshold=cut),
        "swap": rank.compute_swap_box_scores(**both, high_probability_threshold=cut),
    }
    images = {name: 1 - rank.pool_box_scores_per_image(rows) for name, rows in boxes.items()}
    seconds = time.process_time() - started
    return {"boxes": {name: [1 - row for row in rows] for name, rows in boxes.items()}, "images": images, "s": seconds}


TASKS = {"classification": classification, "vectors": of_vectors, "detection": detection}


if __name__ == "__main__":
    task, source, target = sys.argv[1:]
    result = TASKS[task](**pickle.loads(Path(source).read_bytes()))
    Path(target).write_bytes(pickle.dumps(result))
