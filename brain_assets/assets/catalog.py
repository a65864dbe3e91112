"""All signals, in an order in which each comes after what it reads."""

from brain_assets.answers.health import health
from brain_assets.answers.issues import issues
from brain_assets.answers.published import published
from brain_assets.incremental.signal import Signal
from brain_assets.ingest.ground_truth import GROUND_TRUTH
from brain_assets.ingest.media import MEDIA
from brain_assets.ingest.objects import OBJECTS
from brain_assets.ingest.predictions import PREDICTIONS
from brain_assets.ingest.reviews import REVIEWS
from brain_assets.ingest.samples import SAMPLES
from brain_assets.report.asset import REPORT
from brain_assets.signals.duplicates.exact_duplicates import EXACT_DUPLICATES
from brain_assets.signals.duplicates.leaks import LEAKS
from brain_assets.signals.duplicates.near_duplicates import NEAR_DUPLICATES
from brain_assets.signals.images.image_quality import IMAGE_QUALITY
from brain_assets.signals.labels.hardness import HARDNESS
from brain_assets.signals.labels.label_issues import LABEL_ISSUES
from brain_assets.signals.labels.mistakenness import MISTAKENNESS
from brain_assets.signals.labels.object_mistakenness import OBJECT_MISTAKENNESS
from brain_assets.signals.similarity.embeddings import EMBEDDINGS
from brain_assets.signals.similarity.object_embeddings import OBJECT_EMBEDDINGS
from brain_assets.signals.similarity.outliers import OUTLIERS
from brain_assets.signals.similarity.representativeness import REPRESENTATIVENESS
from brain_assets.signals.similarity.selections import SELECTIONS
from brain_assets.signals.similarity.similarity import SIMILARITY
from brain_assets.signals.similarity.uniqueness import UNIQUENESS
from brain_assets.signals.similarity.visualization import VISUALIZATION

SIGNALS: tuple[Signal, ...] = (
    REVIEWS,
    SAMPLES,
    MEDIA,
    GROUND_TRUTH,
    PREDICTIONS,
    OBJECTS,
    IMAGE_QUALITY,
    EXACT_DUPLICATES,
    EMBEDDINGS,
    OBJECT_EMBEDDINGS,
    SIMILARITY,
    UNIQUENESS,
    NEAR_DUPLICATES,
    LEAKS,
    OUTLIERS,
    REPRESENTATIVENESS,
    SELECTIONS,
    VISUALIZATION,
    HARDNESS,
    OBJECT_MISTAKENNESS,
    MISTAKENNESS,
    LABEL_ISSUES,
)
ISSUES = issues(SIGNALS)
HEALTH = health([*SIGNALS, ISSUES])
PUBLISHED = published([*SIGNALS, ISSUES, HEALTH])
ALL: tuple[Signal, ...] = (*SIGNALS, ISSUES, HEALTH, PUBLISHED, REPORT)
BY_NAME = {signal.name: signal for signal in ALL}
WRITTEN = {table for signal in ALL for table in signal.writes}


def upstream(signal: Signal) -> tuple[str, ...]:
    """Return the names of the signals before it whose tables it reads, or that it comes after.

    What a later one writes too, such as vectors that are kept by their content, is read as the last run left it.
    """
    before = ALL[: ALL.index(signal)]
    reads = set(signal.reads)
    return tuple(one.name for one in before if reads & set(one.writes) or one.name in signal.after)
