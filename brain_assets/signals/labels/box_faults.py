"""Labelled boxes that cannot be right, whatever the image shows: outside of it, without an area, or twice the same."""

from collections.abc import Iterator

from brain_assets.incremental.signal import Check, Issue, IssueQuery, Publication, Signal, Whole
from brain_assets.incremental.update import Update
from brain_assets.incremental.words import Evidence
from brain_assets.resources.store.store import Merge

MOST_OUTSIDE, LEAST_PIXELS = 0.01, 1.5
"""A box may stick out by this share of the picture or by so many pixels, as rounding makes it."""
TWIN = 0.02
"""The edges of twins are apart by no more than this share of the smaller side."""
# An object's id is made of what places it; those that lie outside or have no area are no objects and count for their image.
OUT = """
    select sample_id, label_field, label, width > 0 and height > 0 as has_area,
        greatest(-x, -y, x + width - 1, y + height - 1, 0) as beyond,
        greatest(greatest(-x, x + width - 1) * pixels_across, greatest(-y, y + height - 1) * pixels_down, 0) as pixels,
        1 - greatest(least(x + width, 1) - greatest(x, 0), 0) * greatest(least(y + height, 1) - greatest(y, 0), 0)
            / (width * height) as outside
    from whole_objects where model = 'ground_truth' and counts
    qualify rank() over (partition by sample_id, label_field order by source desc, file desc) = 1"""
FAULTS = f"""
    with boxes as materialized ({OUT}),
    labelled as materialized (select * from objects where model = 'ground_truth' and not iscrowd),
    twins as (
        select other.object_id, other.sample_id, other.label_field, other.label, min(one.object_id) as partner_id
        from labelled one join labelled other using (sample_id, label_field, label)
        where one.object_id < other.object_id
            and greatest(abs(one.x - other.x), abs(one.x + one.width - other.x - other.width))
                <= {TWIN} * least(one.width, other.width)
            and greatest(abs(one.y - other.y), abs(one.y + one.height - other.y - other.height))
                <= {TWIN} * least(one.height, other.height)
        group by all)
    select object_id as subject_id, 'twin_boxes' as issue, sample_id, object_id, label_field, label, 1::bigint as boxes,
        null::double as outside, partner_id
    from twins
    union all
    select sample_id, 'empty_box', sample_id, null, label_field, string_agg(distinct label, ', ' order by label), count(*),
        null, null
    from boxes where not has_area group by sample_id, label_field
    union all
    select sample_id, 'box_out_of_image', sample_id, null, label_field, string_agg(distinct label, ', ' order by label), count(*),
        max(outside), null
    from boxes where has_area and beyond > {MOST_OUTSIDE} and pixels > {LEAST_PIXELS}
    group by sample_id, label_field"""


def update_box_faults(update: Update) -> Iterator[Merge]:
    """Look at all labelled boxes again."""
    yield update.replace("box_faults", FAULTS)


def _say(evidence: Evidence, labels: str, partner: str) -> str:
    label, boxes = evidence.get("label"), evidence.get("boxes")
    return f"{boxes} {'box' if boxes == 1 else 'boxes'} of “{label}”." if label and boxes else ""


def _say_twins(evidence: Evidence, labels: str, partner: str) -> str:
    return f"Two boxes of “{evidence.get('label')}” in one place."


BOX_OUT_OF_IMAGE = Issue(
    "box_out_of_image",
    92,
    "Boxes outside of the image",
    "A labelled box sticks out of its image; what lies inside is used.",
    "Check that the labels are of this image and in its size.",
    _say,
    share=1,
)
EMPTY_BOX = Issue(
    "empty_box",
    94,
    "Boxes without an area",
    "A labelled box has no width or no height, and is left out.",
    "Draw the box again, or remove it.",
    _say,
    share=1,
)
TWIN_BOXES = Issue(
    "twin_boxes",
    96,
    "Twin boxes",
    "The same box is labelled twice with one class.",
    "Remove one of the two.",
    _say_twins,
    share=1,
)

BOX_FAULTS = Signal(
    name="box_faults",
    description="Labelled boxes that cannot be right, whatever the image shows: those that stick out of it, have no area, or"
    " stand there twice. No detector is needed.",
    group="labels",
    reads=(
        "objects",
        "label_objects",
        "label_images",
        "label_categories",
        "label_names",
        "prediction_objects",
        "prediction_names",
        "input_files",
        "samples",
        "media",
    ),
    writes=("box_faults",),
    update=Whole(update_box_faults),
    checks=(
        Check(
            "no_fault_without_a_sample",
            "select count(*) from box_faults anti join samples using (sample_id)",
            "No fault is left of a sample that is gone.",
        ),
    ),
    publishes=(
        Publication(
            "box_faults",
            """
            select subject_id, sample_id, object_id, label_field, issue, label, boxes, outside, partner_id
            from box_faults order by sample_id, label_field, issue, subject_id""",
            {
                "subject_id": "The object, or the image of boxes that are no objects.",
                "sample_id": "The image.",
                "object_id": "The object; NULL where boxes of an image are counted.",
                "label_field": "The field of labels.",
                "issue": "box_out_of_image, empty_box or twin_boxes.",
                "label": "The classes of the boxes.",
                "boxes": "How many.",
                "outside": "The largest share of such a box that lies outside of the image.",
                "partner_id": "The object with the same box.",
            },
        ),
    ),
    issues=(
        IssueQuery(
            """
            select subject_id, sample_id, object_id, issue,
                if(label_field = 'ground_truth', issue, label_field || '/' || issue) as source, 1.0 as score, true as is_issue,
                json_object('label_field', label_field, 'label', label, 'boxes', boxes, 'outside', outside, 'partner', partner_id)
                    as evidence
            from box_faults""",
            (BOX_OUT_OF_IMAGE, EMPTY_BOX, TWIN_BOXES),
        ),
    ),
    metrics={"box_faults": "select count(*) from box_faults"},
)
