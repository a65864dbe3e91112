"""One vector per object: what a model sees in the crop of its box. Objects are then subjects as whole images are.

A run that reads another run of this method (``embeddings``) gives each image the mean of that run's crops in it.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from brain_assets.incremental.runs import declared_runs, run_of_model, with_parameters
from brain_assets.incremental.signal import Check, MethodRun, Signal, Whole
from brain_assets.incremental.update import Update, literal
from brain_assets.ingest import decode_pass
from brain_assets.ingest.pruning import unused
from brain_assets.methods.labels.objects import crop_rectangles, expand_boxes, region_means
from brain_assets.resources.dataset import Dataset
from brain_assets.resources.errors import ConfigurationError
from brain_assets.resources.settings.configuration import ObjectEmbeddingSettings, RunSettings
from brain_assets.resources.store.store import Merge

METHOD = "object_embeddings"
LATER = {"alpha_horizontal", "alpha_vertical", "margin"}
"""Settings that there were not always."""
# A crowd is no object.
CHOSEN = """
    select object_id, objects.sample_id, content_hash, x, y, objects.width, objects.height, media.width as across,
        media.height as down
    from objects join readable using (sample_id) join media using (content_hash)
    where label_field = {field} and model = {source} and not iscrowd order by object_id"""
# A crop is named by its content and its pixels: objects with equal boxes in equal images share a vector.
CROPS = """
    select object_id, sample_id, content_hash, rectangle, md5(concat_ws(' ', content_hash, rectangle::varchar)) as input_key
    from chosen_objects"""
WITHOUT_VECTOR = f"""
    with missing as (
        select distinct content_hash, input_key, rectangle from ({CROPS})
        where input_key not in (select input_key from vectors where model_version = ?)
            or input_key not in (select input_key from crops where preview_length is not null)
    )
    select content_hash, any_value(uri order by sample_id) as uri, any_value(bytes) as bytes,
        any_value(input_keys) as input_keys, any_value(rectangles) as rectangles
    from samples join (
        select content_hash, list(input_key order by input_key) as input_keys, list(rectangle order by input_key) as rectangles
        from missing group by content_hash
    ) using (content_hash) group by content_hash order by content_hash"""
ROWS = f"""
    select {{key}} as brain_key, object_id as subject_id, sample_id, object_id, model_version, input_key
    from ({CROPS}) join vectors using (input_key)
    where model_version = '{{version}}' and vectors.error is null"""

# A region of interest: the crops of an image, whose mean stands for it; where it holds none, the whole image.
REGIONS = """
    select sample_id, md5(string_agg(input_key, ' ' order by input_key)) as input_key, list(input_key order by input_key) as crops
    from embeddings where brain_key = {crops} group by sample_id"""
WITHOUT_MEAN = """
    with missing as (
        select input_key as region, any_value(crops) as crops from ({regions})
        where input_key not in (select input_key from vectors where model_version = ?) group by input_key
    )
    select region, vector from (select region, unnest(crops) as input_key from missing) join vectors using (input_key)
    where model_version = ? order by region, input_key"""
REGION_ROWS = """
    select {key} as brain_key, sample_id as subject_id, sample_id, null::varchar as object_id, model_version, input_key
    from (select sample_id, input_key from ({regions})
        union all select sample_id, content_hash from readable where sample_id not in (select sample_id from ({regions})))
    join vectors using (input_key) where model_version = '{version}' and vectors.error is null"""


def update_object_embeddings(update: Update) -> Iterator[Merge]:
    """Give every chosen object the vector of its crop; only crops that have none of this model yet are embedded.

    What is kept of a crop's pixels is made in the same pass, and where it was lost the crop is cut again.
    """
    if "regions_of" in update.run.settings:
        yield _regions(update)
        return
    settings, version = update.run.settings, str(update.run.model_version)
    _register(update)
    contents = update.query(WITHOUT_VECTOR, [version])
    update.notes["images decoded"] = contents.num_rows
    if contents.num_rows:
        decode_pass.embed_crops(update, contents, update.dataset.model(settings["model"]))
    yield update.replace("embeddings", ROWS.format(key=update.key, version=version))
    yield unused("crops", "input_key not in (select input_key from embeddings)")


def _register(update: Update) -> None:
    """Register the chosen objects with the pixels that the crop of each holds."""
    wanted = update.run.settings["ObjectEmbeddingSettings"]
    names = {"field": literal(wanted["label_field"]), "source": literal(wanted["source"])}
    rows = update.query(CHOSEN.format(**names))
    boxes = np.stack([rows.column(name).to_numpy() for name in ("x", "y", "width", "height")], axis=1)
    sizes = np.stack([rows.column(name).to_numpy() for name in ("across", "down")], axis=1)
    alpha = wanted["alpha"]
    alphas = wanted.get("alpha_horizontal", alpha), wanted.get("alpha_vertical", alpha)
    wider = expand_boxes(boxes, alphas, wanted.get("margin", 0) / sizes)
    pixels = crop_rectangles(wider, sizes, force_square=wanted["force_square"])
    rectangles = pa.FixedSizeListArray.from_arrays(pa.array(pixels.ravel()), 4).cast(pa.list_(pa.int64()))
    chosen = rows.select(["object_id", "sample_id", "content_hash"]).append_column("rectangle", rectangles)
    update.dataset.store.connection.register("chosen_objects", chosen)


def _regions(update: Update) -> Merge:
    """Give every image the mean of its crops' vectors; only means that are not there yet are computed."""
    version, regions = str(update.run.model_version), REGIONS.format(crops=literal(update.run.settings["regions_of"]))
    rows = update.query(WITHOUT_MEAN.format(regions=regions), [version, version])
    if rows.num_rows:
        names, first = np.unique(np.array(rows.column("region").to_pylist()), return_index=True)
        flat = rows.column("vector").combine_chunks().flatten().to_numpy(zero_copy_only=False)
        means = region_means(flat.reshape(rows.num_rows, -1), np.append(first, rows.num_rows)).astype(np.float32)
        made = [decode_pass.vector_row(version, name, mean) for name, mean in zip(names.tolist(), means, strict=True)]
        update.commit(Merge("vectors", pa.Table.from_pylist(made, schema=decode_pass.VECTORS)))
    query = REGION_ROWS.format(key=update.key, regions=regions, version=version)
    return update.replace("embeddings", query)


def _runs(dataset: Dataset) -> list[MethodRun]:
    """Return the runs that embed crops, and then those that take the mean of another's crops in each image."""
    declared = declared_runs(dataset, METHOD)
    crops = {run.brain_key: _run(dataset, run) for run in declared if run.embeddings not in _keys(declared)}
    means = [_mean_run(run, crops) for run in declared if run.embeddings in _keys(declared)]
    return [*crops.values(), *means]


def _keys(runs: Sequence[RunSettings]) -> set[str]:
    return {run.brain_key for run in runs}


def _mean_run(run: RunSettings, crops: Mapping[str, MethodRun]) -> MethodRun:
    source = crops.get(run.embeddings)
    if source is None:
        raise ConfigurationError(
            f"dataset.yaml: run {run.brain_key!r} takes means of {run.embeddings!r}, which takes means itself"
        )
    settings = {"regions_of": run.embeddings, "crops": source.settings}
    return MethodRun(run.brain_key, settings, source.model_version, source.fault)


def _run(dataset: Dataset, run: RunSettings) -> MethodRun:
    uri = run.model or dataset.settings.embeddings.model
    section = with_parameters(dataset.settings.object_embeddings, run)
    settings: dict[str, Any] = {"model": uri, "ObjectEmbeddingSettings": _said(section)}
    return run_of_model(dataset, run.brain_key, settings, uri)


def _said(section: ObjectEmbeddingSettings) -> dict[str, Any]:
    """Return the settings, younger ones only where they are not the default: what was embedded before them stays."""
    default = ObjectEmbeddingSettings().model_dump()
    return {name: value for name, value in section.model_dump().items() if name not in LATER or value != default[name]}


OBJECT_EMBEDDINGS = Signal(
    name=METHOD,
    description="One vector per object, of the crop of its box, for runs that dataset.yaml declares. Similarity, uniqueness,"
    " outliers, near duplicates, maps and clusters of objects are runs that read them as others read vectors of whole images.",
    group="similarity",
    reads=("objects", "samples", "media"),
    writes=("embeddings", "vectors", "crops"),
    update=Whole(update_object_embeddings),
    version="2",
    runs=_runs,
    options=frozenset({"embeddings", "model", "parameters"}),
    parameters=lambda settings: settings.object_embeddings,
    kinds=("python", "pytorch", "duckdb"),
    checks=(
        Check(
            "no_crop_without_an_object",
            "select count(*) from embeddings where object_id is not null"
            " and object_id not in (select object_id from objects)",
            "No vector is left of an object that is gone.",
        ),
    ),
    metrics={"objects_embedded": "select count(*) from embeddings where object_id is not null"},
)
