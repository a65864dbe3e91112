"""What is usual in a set that is unlike photos as a whole is no fault of each of its pictures."""

import numpy as np
import pytest

from brain_assets.methods.images.image_quality import statistics
from brain_assets.methods.images.quality_rules import calibrate, judge
from brain_assets.resources.decoding.decoding import DecodeJob, Decoder
from tests.benchmarks.kinds_of_material import KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_no_rule_flags_a_kind_of_material(kind: str) -> None:
    files = [KINDS[kind](np.random.default_rng(seed)) for seed in range(10)]
    with Decoder(threads=1, measure=statistics) as decoder:
        rows = list(decoder.decode(DecodeJob(str(place), lambda data=data: data) for place, data in enumerate(files)))
    facts = {"orientation": 1.0, "animated": 0.0, "extension_matches": 1.0}
    found = [{**row.statistics, **facts, "width": row.width, "height": row.height} for row in rows]
    columns = {name: np.array([one[name] for one in found], np.float64) for name in found[0]}
    flagged = {issue: verdict.is_issue.sum() for issue, verdict in judge(columns, calibrate(columns)).items()}
    assert not any(flagged.values()), flagged
