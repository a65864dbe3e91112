"""Objects as subjects of their own: the boxes and outlines that labels and models place in images."""

from collections.abc import Iterator

from brain_assets.incremental.signal import Check, Publication, Signal, Whole
from brain_assets.incremental.update import Update
from brain_assets.ingest.reviews import holding
from brain_assets.resources.store.store import Merge

# What files say of objects, and what reviewers drew or confirmed of what models found.
SAID = """
    select object_id, sample_id, label_field, model, label, confidence, x, y, width, height, polygon, logits, iscrowd,
        null as made from effective_objects
    union all
    select object_id, sample_id, label_field, 'ground_truth', label, null, x, y, width, height, polygon, null, false,
        event_id
    from made_objects join samples using (sample_id)
    where made_objects.content_hash is not distinct from samples.content_hash"""
# Objects as reviewers left them, with whether they were dropped; one that was relabelled or moved keeps the id that its
# file gave it. What was dropped before it was made again is there.
REVIEWED = f"""
    select object_id, sample_id, said.label_field, model, coalesce(relabelled.value, said.label) as label, confidence,
        if(shaped.subject_id is null, said.x, shaped.x) as x, if(shaped.subject_id is null, said.y, shaped.y) as y,
        if(shaped.subject_id is null, said.width, shaped.width) as width,
        if(shaped.subject_id is null, said.height, shaped.height) as height,
        if(shaped.subject_id is null, said.polygon, shaped.polygon) as polygon, logits, iscrowd, made,
        if(made is not null or relabelled.value is not null or shaped.subject_id is not null, 'review', 'file') as origin,
        gone.subject_id is not null as dropped
    from ({SAID}) said join samples using (sample_id)
    left join ({holding("drop")}) gone on gone.subject_id = object_id and gone.event_id > coalesce(made, 0)
        and gone.content_hash is not distinct from samples.content_hash
    left join ({holding("relabel")}) relabelled on relabelled.subject_id = object_id and model = 'ground_truth'
        and relabelled.content_hash is not distinct from samples.content_hash
    left join (select * exclude (sample_id) from reviewed_shapes where kind = 'reshape') shaped on shaped.subject_id = object_id
        and model = 'ground_truth' and shaped.content_hash is not distinct from samples.content_hash
    where not samples.dropped"""
# What reviewers added and files hold by now, as after an export that took the files' place, is there once.
SAME_BOX = 0.9
PLACED = f"""
    with reviewed as materialized ({REVIEWED}), twins as (
        select added.object_id, greatest(0, least(added.x + added.width, filed.x + filed.width) - greatest(added.x, filed.x))
            * greatest(0, least(added.y + added.height, filed.y + filed.height) - greatest(added.y, filed.y)) as common,
            added.width * added.height + filed.width * filed.height as both_areas
        from reviewed added join reviewed filed using (sample_id, label_field, model, label)
        where added.made is not null and filed.made is null and not filed.dropped and model = 'ground_truth'
    )
    select * exclude (made) from reviewed
    where object_id not in (select object_id from twins where common >= {SAME_BOX} * (both_areas - common))"""
ROWS = "select * exclude (dropped) from placed where not dropped"
DROPPED = "select object_id, sample_id from placed where dropped"
# Hashed twice: of two plain hashes that swap their last value the exclusive or stays.
# An image that labels speak of and that holds no object has a row too: whatever a model finds there is missing.
IMAGES = """
    select sample_id, label_field, model, sum(one)::bigint as objects, bit_xor(mark) as digest from (
        select sample_id, label_field, model, 1 as one,
            hash(hash(object_id, label, confidence, x, y, width, height, polygon, logits, iscrowd)) as mark from objects
        union all select sample_id, label_field, 'ground_truth', 0, 0::ubigint
            from named_images semi join live_samples using (sample_id) where counts)
    group by all"""
NUMBERED = """
    select sample_id, label_field, 'ground_truth' as model, min(image_id) as image_id from named_images where counts
    group by sample_id, label_field"""


def update_objects(update: Update) -> Iterator[Merge]:
    """Place what files say of objects in the images that are there, as reviewers left it."""
    update.keep("placed", PLACED)
    yield Merge("objects", ROWS, within="true")
    yield Merge("dropped_objects", DROPPED, within="true")
    yield Merge("object_images", IMAGES, within="true")


OBJECTS = Signal(
    name="objects",
    description="Every object that labels (COCO, YOLO, Pascal VOC) or models (COCO results) place in an image: class, box and"
    " outline relative to the image, under an id that stays. What reviewers dropped is left out; what they drew, confirmed,"
    " moved or relabelled wins.",
    group="labels",
    reads=(
        "samples",
        "media",
        "label_objects",
        "label_images",
        "label_categories",
        "prediction_objects",
        "label_names",
        "prediction_names",
        "input_files",
        "decisions",
        "moves",
    ),
    writes=("objects", "object_images", "dropped_objects"),
    update=Whole(update_objects),
    version="6",
    checks=(
        Check(
            "no_object_without_a_sample",
            "select count(*) from objects anti join samples using (sample_id)",
            "No object is left of a sample that is gone.",
        ),
    ),
    publishes=(
        Publication(
            "objects",
            """
            select object_id, sample_id, label_field, model as source, label, confidence, x, y, width, height, polygon,
                logits, iscrowd, origin
            from objects order by sample_id, label_field, source, object_id""",
            {
                "object_id": "Stable id.",
                "sample_id": "The image.",
                "label_field": "The field of labels.",
                "source": "ground_truth, or the model that found it.",
                "label": "Its class.",
                "confidence": "In [0, 1]; NULL for labels.",
                "x": "Left edge of the box, relative to the image.",
                "y": "Upper edge of the box, relative to the image.",
                "width": "Of the box, relative to the image.",
                "height": "Of the box, relative to the image.",
                "polygon": "Rings of x and y in turn, relative to the image; NULL where only a box is known.",
                "logits": "Scores over the classes, logarithms where probabilities were given; NULL where unknown.",
                "iscrowd": "Whether the box marks a crowd of objects, as COCO defines it.",
                "origin": "file, or review where a reviewer drew, confirmed, moved or relabelled it.",
            },
        ),
        Publication(
            "object_images",
            f"""
            select sample_id, label_field, model as source, objects, image_id
            from object_images left join ({NUMBERED}) using (sample_id, label_field, model) order by all""",
            {
                "sample_id": "The image.",
                "label_field": "The field of labels.",
                "source": "ground_truth, or the model, that speaks of the objects in this image.",
                "objects": "How many it places there; people may say that there are none.",
                "image_id": "The image's name or number in the file of labels; NULL for models.",
            },
        ),
        Publication(
            "object_classes",
            """
            select label_field, category, arg_max(name, (source, file)) as label
            from label_categories join (select distinct source, file, label_field from label_images) using (source, file)
            group by label_field, category order by all""",
            {
                "label_field": "The field of labels.",
                "category": "The class's number in the file of labels.",
                "label": "Its name.",
            },
        ),
    ),
    metrics={"objects": "select count(*) from objects"},
)
