"""Columns of tables by the names that people give them: which one holds the path, the class, the split."""

import re
from collections.abc import Mapping, Sequence

import pyarrow as pa

from brain_assets.resources.tabular import Rows, as_text, is_image_name, texts

# What each column may be called, the surest name first; upper and lower case, blanks, dots and dashes make no difference.
NAMES: Mapping[str, tuple[str, ...]] = {
    "sample_id": ("sample_id",),
    "filepath": (
        "filepath", "file_path", "path", "image_path", "img_path", "imagepath", "path_to_image", "file_name", "filename",
        "image_name", "img_name", "image_file", "image_filename", "imagename", "image_file_name", "img_file", "relative_path",
        "image", "img", "images", "file", "files", "photo", "picture", "image_id", "imageid", "img_id", "image_url", "url",
        "uri", "id", "name",
    ),
    "label": (
        "label", "class", "class_name", "classname", "label_name", "labelname", "category", "category_name", "target", "y_true",
        "true_label", "gt_label", "gt", "ground_truth", "annotation", "species", "name", "class_id", "label_id", "category_id",
        "class_index", "class_idx", "label_idx", "choice", "y",
    ),
    "labels": ("labels", "class_names", "label_names", "categories"),
    "confidence": (
        "confidence", "conf", "score", "prob", "probability", "certainty", "pred_score", "pred_prob", "pred_conf", "max_prob",
        "p", "scores",
    ),
    "confidences": ("confidences",),
    "logits": ("logits", "logit", "raw_scores"),
    "probabilities": ("probabilities", "probs", "proba", "pred_probs", "class_probabilities", "softmax"),
    "classes": ("classes",),
    "model": ("model", "model_name"),
    "label_field": ("label_field",),
    "created_at": ("created_at",),
    "split": ("split", "subset", "partition", "set"),
    "tags": ("tags",),
}  # fmt: skip
# Words of names that nobody foresaw, such as "Image Index" and "Finding Labels", where one column alone has them.
WORDS: Mapping[str, frozenset[str]] = {
    "filepath": frozenset({"image", "img", "file", "filename", "filepath", "path", "photo", "picture"}),
    "label": frozenset({"label", "class", "category", "diagnosis", "dx", "disease", "finding", "species", "breed"}),
    "labels": frozenset({"labels", "classes", "categories"}),
}
# What columns beside these say, which share words with them.
ASIDE = frozenset({
    "width", "height", "size", "area", "count", "format", "mode", "type", "hash", "weight", "quality", "source", "by", "author",
    "annotator", "date", "time", "created", "at", "confidence", "score",
})  # fmt: skip
# What an index is called that pandas writes without a name.
UNNAMED = {"", "unnamed_0", "index", "index_level_0", "column_0"}


def plain(name: str) -> str:
    """Return a column's name as names are compared.

    Examples
    --------
    >>> plain("File Name"), plain("Image.ID"), plain("# XMin")
    ('file_name', 'image_id', 'xmin')
    """
    return re.sub(r"[^\w]+|_+", "_", name.strip().lower()).strip("_")


def places_of(rows: Rows, wanted: Sequence[str]) -> dict[str, int]:
    """Return the places of columns by the names that readers know; raises ValueError where several may be meant."""
    found = {name: first_of(rows, NAMES[name]) for name in wanted}
    given = {name: place for name, place in found.items() if place is not None}
    if "filepath" in wanted and "filepath" not in given:
        given |= by_words(rows, "filepath", given) or unnamed(rows, given)
    return given


def first_of(rows: Rows, aliases: Sequence[str]) -> int | None:
    """Return the place of the column with the surest name; raises ValueError where several have it."""
    names = [plain(name) for name in rows.table.column_names]
    for alias in aliases:
        if alias == "y" and "x" in names:
            continue
        places = [place for place, name in enumerate(names) if name == alias]
        exact = [place for place in places if rows.table.column_names[place] == alias]
        if len(exact or places) > 1:
            raise ValueError(f"several columns are called {alias}: rename or remove all but one")
        if places:
            return (exact or places)[0]
    return None


def by_words(rows: Rows, name: str, given: Mapping[str, int]) -> dict[str, int]:
    """Return the place of the only column that is called by words for what is wanted; nothing where there are several."""
    free = [place for place in range(len(rows.table.column_names)) if place not in given.values()]
    called = {place: _words(rows.table.column_names[place]) for place in free}
    found = [place for place, words in called.items() if words & WORDS[name] and not words & ASIDE]
    return {name: found[0]} if len(found) == 1 else {}


def unnamed(rows: Rows, given: Mapping[str, int]) -> dict[str, int]:
    """Return the place of a column that nobody named, such as the index of a frame, where it holds paths of images."""
    for place, name in enumerate(rows.table.column_names):
        if plain(name) in UNNAMED and place not in given.values():
            values = texts(as_text(column_at(rows, place)), len(rows.lines)).drop_null().to_pylist()
            if values and all(map(is_image_name, values)):
                return {"filepath": place}
    return {}


def _words(name: str) -> set[str]:
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}


def column_at(rows: Rows, place: int) -> pa.Array:
    """Return the column at a place as one array."""
    column = rows.table.column(place).combine_chunks()
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
