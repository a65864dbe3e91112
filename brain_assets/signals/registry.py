"""All signals that look at images, objects and labels, in an order in which each comes after what it reads, and their issues."""

from collections.abc import Iterable, Mapping

from brain_assets.incremental.signal import Issue, Signal
from brain_assets.ingest.ground_truth import GROUND_TRUTH
from brain_assets.ingest.media import MEDIA
from brain_assets.ingest.objects import OBJECTS
from brain_assets.ingest.predictions import PREDICTIONS
from brain_assets.ingest.reviews import REVIEWS
from brain_assets.ingest.samples import SAMPLES
from brain_assets.signals.duplicates.contamination import CONTAMINATION
from brain_assets.signals.duplicates.exact_duplicates import EXACT_DUPLICATES
from brain_assets.signals.duplicates.fingerprints import FINGERPRINTS
from brain_assets.signals.duplicates.leaks import LEAKS
from brain_assets.signals.duplicates.near_duplicates import NEAR_DUPLICATES
from brain_assets.signals.images.image_quality import IMAGE_QUALITY
from brain_assets.signals.labels.box_faults import BOX_FAULTS
from brain_assets.signals.labels.builtin_predictions import BUILTIN_PREDICTIONS
from brain_assets.signals.labels.hardness import HARDNESS
from brain_assets.signals.labels.label_issues import LABEL_ISSUES
from brain_assets.signals.labels.mistakenness import MISTAKENNESS
from brain_assets.signals.labels.object_mistakenness import OBJECT_MISTAKENNESS
from brain_assets.signals.plugins import with_plugins
from brain_assets.signals.similarity.embeddings import EMBEDDINGS
from brain_assets.signals.similarity.object_embeddings import OBJECT_EMBEDDINGS
from brain_assets.signals.similarity.outliers import OUTLIERS
from brain_assets.signals.similarity.representativeness import REPRESENTATIVENESS
from brain_assets.signals.similarity.selections import SELECTIONS
from brain_assets.signals.similarity.similarity import SIMILARITY
from brain_assets.signals.similarity.uniqueness import UNIQUENESS
from brain_assets.signals.similarity.vector_indexes import VECTOR_INDEXES
from brain_assets.signals.similarity.visualization import VISUALIZATION
from brain_assets.signals.splits.planned_splits import PLANNED_SPLITS

SIGNALS: tuple[Signal, ...] = with_plugins(
    (
        REVIEWS,
        SAMPLES,
        MEDIA,
        GROUND_TRUTH,
        PREDICTIONS,
        OBJECTS,
        BOX_FAULTS,
        IMAGE_QUALITY,
        EXACT_DUPLICATES,
        EMBEDDINGS,
        OBJECT_EMBEDDINGS,
        SIMILARITY,
        VECTOR_INDEXES,
        UNIQUENESS,
        NEAR_DUPLICATES,
        LEAKS,
        PLANNED_SPLITS,
        FINGERPRINTS,
        CONTAMINATION,
        OUTLIERS,
        REPRESENTATIVENESS,
        SELECTIONS,
        VISUALIZATION,
        BUILTIN_PREDICTIONS,
        HARDNESS,
        OBJECT_MISTAKENNESS,
        MISTAKENNESS,
        LABEL_ISSUES,
    )
)


def _issues_of(signals: Iterable[Signal]) -> Mapping[str, Issue]:
    """Return the issues that signals raise, by name, in the order in which they should be looked at."""
    found = {issue for signal in signals for query in signal.issues for issue in query.issues}
    return {issue.name: issue for issue in sorted(found, key=lambda issue: (issue.place, issue.name))}


ISSUES = _issues_of(SIGNALS)
LAST = 1 << 30


def issue_named(name: str) -> Issue:
    """Return an issue; one that no signal raises any more goes by its name."""
    return ISSUES.get(name) or Issue(name, LAST, name.replace("_", " ").capitalize())
