"""Columns of tables by the names that people give them: which one holds the path, the class, the scores, the box."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from brain_assets.resources.column_names import NAMES, by_words, column_at, first_of, plain, unnamed
from brain_assets.resources.label_formats.input_files import Role
from brain_assets.resources.tabular import Rows, as_text, number_lists, numbers, text_lists, texts

# In files of predictions these come before what may be the label that was given.
PREDICTED = (
    "pred", "prediction", "predicted", "predicted_label", "pred_label", "predicted_class", "pred_class", "y_pred", "yhat",
    "predicted_name", "pred_name", "top1", "output", "predictions",
)  # fmt: skip
PREFIXED = {
    "logits": re.compile(r"^(?:logits?|raw)_(.+)$"),
    "probabilities": re.compile(r"^(?:probs?|probability|probabilities|proba|softmax|p)_(.+)$"),
}
# Columns and lists of the surest classes, from which the first or surest one is taken, with its score.
RANKED = re.compile(r"^(?:label|class|class_name|pred|prediction|name|index|top)_(\d+)$")
RANKED_SCORES = re.compile(r"^(?:probs?|probability|scores?|conf|confidence|p)_(\d+)$")
RANKINGS = (
    "top5", "top_5", "topk", "top_k", "top3", "top_3", "top10", "top_10", "top5_labels", "top_labels", "topk_labels",
    "top_classes", "top5_classes",
)  # fmt: skip
SCORES = re.compile(r"^(?:scores?|conf|confidence|pred|class)_(.+)$")
# The ways to write a box: the names of its four columns, the surest way first.
CORNERS = (
    ("xmin", "ymin", "xmax", "ymax"), ("x_min", "y_min", "x_max", "y_max"), ("bbox_xmin", "bbox_ymin", "bbox_xmax", "bbox_ymax"),
    ("x1", "y1", "x2", "y2"), ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2"), ("left", "top", "right", "bottom"),
)  # fmt: skip
CENTRES = (
    ("x_center", "y_center", "width", "height"), ("xcenter", "ycenter", "width", "height"), ("xc", "yc", "w", "h"),
    ("cx", "cy", "w", "h"), ("center_x", "center_y", "width", "height"), ("x_center", "y_center", "w", "h"),
    ("cx", "cy", "width", "height"),
)  # fmt: skip
EDGES = (
    ("col_x", "row_y", "width", "height"), ("x", "y", "width", "height"), ("x", "y", "w", "h"),
    ("bbox_x", "bbox_y", "bbox_width", "bbox_height"), ("bbox_x", "bbox_y", "bbox_w", "bbox_h"),
    ("left", "top", "width", "height"),
)  # fmt: skip
TURNED = ("x1", "y1", "x2", "y2", "x3", "y3", "x4", "y4")
LISTS = ("bbox", "box", "bounding_box", "bndbox")
NAMED = ("label", "name", "class", "class_name", "category", "value", "title", "path", "filename", "id")
SURE = ("confidence", "score", "probability", "prob", "conf")
TOLERANCE, LOOKED_AT = 0.01, 100


def has_boxes(names: Sequence[str], declared: Sequence[str] = ()) -> bool:
    """Tell whether a table of these columns places objects."""
    known = {plain(name) for name in names} | set(declared)
    return any(known >= set(way) for way in (*CORNERS, *CENTRES, *EDGES)) or bool(known & {*LISTS, "objects"})


def recognised(rows: Rows, role: Role, columns: Mapping[str, str], classes: Sequence[str] = ()) -> Rows:
    """Return the columns of a table under the names that readers know.

    Parameters
    ----------
    rows : Rows
        All columns, as the file calls them.
    role : {"labels", "predictions"}
    columns : mapping of str to str
        What the dataset says of the file's names, by the names that readers know.
    classes : sequence of str
        The known classes: columns that are called like them hold scores, or ones and zeros.

    Raises
    ------
    ValueError
        If a declared column is missing, or several have the name that is wanted.
    """
    _require_apart(rows)
    given = _declared(rows, columns)
    for name in NAMES:
        place = None if name in given else first_of(rows, _aliases(name, role))
        if place is not None and place not in given.values():
            given[name] = place
    if not {"filepath", "sample_id"} & given.keys():
        given |= by_words(rows, "filepath", given) or unnamed(rows, given)
    ranking = first_of(rows, RANKINGS) if role == "predictions" and not {"label", "labels"} & given.keys() else None
    given |= {} if ranking is None else {"label": ranking}
    table = {name: column_at(rows, place) for name, place in given.items()}
    best = _ranked(rows) if role == "predictions" else {}
    if not best and not has_boxes(rows.table.column_names, list(columns)):
        table |= _spread(rows, table, set(given.values()), (role, classes))
    if role == "labels" and not {"label", "labels"} & table.keys():
        found = by_words(rows, "labels", given) or by_words(rows, "label", given)
        table |= {name: column_at(rows, place) for name, place in found.items()}
    if role == "predictions":
        table = _scores_for_label(table)
        table |= best or _first_of_ranking(table, named=ranking is not None)
    table = _taken_apart(table, role)
    _require_classes(table)
    if {"filepath", "split"} <= table.keys():
        table["filepath"] = _told_apart(table["filepath"], table["split"], len(rows.lines))
    return Rows(pa.table(table), rows.lines, rows.rejected, rows.note)


def _require_classes(table: Mapping[str, pa.Array]) -> None:
    """Raise ValueError where texts that should be classes are objects in JSON, such as the regions in Label Studio's CSV."""
    column = table.get("label")
    if column is None or not pa.types.is_string(column.type):
        return
    values = texts(column, len(column)).drop_null()[:LOOKED_AT].to_pylist()
    if values and all(value.startswith(("[{", "{")) for value in values):
        raise ValueError(
            f"the column of classes holds objects, such as {values[0][:40]!r}: export JSON instead of a table"
        )


def _require_apart(rows: Rows) -> None:
    """Raise ValueError where a cell holds the boxes of several objects, of which nothing says how they are written."""
    for field in rows.table.schema:
        if plain(field.name) in {"boxes", "bboxes", "bounding_boxes"} and pa.types.is_nested(field.type):
            raise ValueError(
                f"the column {field.name} holds the boxes of several objects, and nothing says if they are corners or sizes:"
                " write a row for each object, with xmin, ymin, xmax and ymax"
            )


def _told_apart(paths: pa.Array, splits: pa.Array, size: int) -> pa.Array:
    """Return names of images; what images of several splits are called, with the split as the folder that they lie in."""
    names, said = texts(paths, size), texts(splits, size)
    pairs = list(zip(names.to_pylist(), said.to_pylist(), strict=True))
    several = {name for name, count in Counter(name for name, _ in set(pairs)).items() if name and count > 1}
    if not several:
        return paths
    return pa.array([f"{split}/{name}" if split and name in several else name for name, split in pairs], pa.string())


def _declared(rows: Rows, columns: Mapping[str, str]) -> dict[str, int]:
    found = {}
    for name, wanted in columns.items():
        places = [place for place, one in enumerate(rows.table.column_names) if one == wanted]
        places = places or [place for place, one in enumerate(rows.table.column_names) if plain(one) == plain(wanted)]
        if len(places) != 1:
            raise ValueError(
                f"{'several columns are' if places else 'no column is'} called {wanted}, which the dataset declares as {name};"
                f" columns: {', '.join(rows.table.column_names)}"
            )
        found[name] = places[0]
    return found


def _aliases(name: str, role: Role) -> tuple[str, ...]:
    return (*PREDICTED, *NAMES[name]) if name == "label" and role == "predictions" else NAMES[name]


def _spread(
    rows: Rows, table: Mapping[str, pa.Array], used: set[int], context: tuple[Role, Sequence[str]]
) -> dict[str, pa.Array]:
    """Return the scores that stand in a column for each class, or the classes that ones mark there."""
    role, classes = context
    if "logits" in table or "probabilities" in table:
        return {}
    for name, pattern in PREFIXED.items() if role == "predictions" else ():
        if len(found := _prefixed(rows, pattern)) > 1:
            return _scores(rows, found, classes, name)
    if role == "predictions" and len(found := _prefixed(rows, SCORES)) > 1 and _all_numbers(rows, found):
        return _scores(rows, found, classes, None)
    if "label" in table or "labels" in table:
        return {}
    rest = {place: name for place, name in enumerate(rows.table.column_names) if place not in used}
    marked = {place: name for place, name in rest.items() if not classes or name in classes}
    if len(marked) < 2 or not _all_numbers(rows, marked):
        return {}
    return _scores(rows, marked, classes, None) if role == "predictions" else _marked(rows, marked)


def _scores_for_label(table: dict[str, pa.Array]) -> dict[str, pa.Array]:
    """Return columns with scores under the name of such, where a list of them stands in place of a class."""
    column = table.get("label")
    if column is None or not pa.types.is_list(column.type) or not pa.types.is_floating(column.type.value_type):
        return table
    if {"logits", "probabilities"} & table.keys():
        return table
    import pyarrow.compute as pc

    values = column.flatten().to_numpy(zero_copy_only=False)
    totals = np.zeros(len(column))
    np.add.at(totals, pc.list_parent_indices(column).to_numpy(zero_copy_only=False), values)
    probable = len(values) and (values >= 0).all() and (abs(totals - 1) <= TOLERANCE).mean() > 0.5
    return {name: one for name, one in table.items() if name != "label"} | {
        "probabilities" if probable else "logits": column
    }


def _ranked(rows: Rows) -> dict[str, pa.Array]:
    """Return the surest class of rows that give several, each in a column beside one of its score."""
    named, sure = (
        {name: place for place, name in _prefixed(rows, pattern).items()} for pattern in (RANKED, RANKED_SCORES)
    )
    places = dict.fromkeys(sure.values(), "")
    if len(named) < 2 or named.keys() != sure.keys() or not _all_numbers(rows, places):
        return {}
    matrix = np.nan_to_num(_matrix(rows, places), nan=-np.inf)
    classes = [texts(as_text(column_at(rows, named[name])), len(rows.lines)).to_pylist() for name in sure]
    best = matrix.argmax(axis=1)
    return {
        "label": pa.array([classes[one][row] for row, one in enumerate(best)], pa.string()),
        "confidence": pa.array(matrix[np.arange(len(best)), best]),
    }


def _first_of_ranking(table: Mapping[str, pa.Array], *, named: bool) -> dict[str, pa.Array]:
    """Return the surest class where each row lists several in one cell, surest first or each with its score."""
    column, scores = table.get("label"), table.get("confidence", table.get("confidences"))
    if column is None or not (named or _is_ranking(column)) or _is_list_of_structs(column.type):
        return {}
    size = len(column)
    lists = text_lists(column, size).to_pylist()
    sure = number_lists(scores, size)[0].to_pylist() if scores is not None else [None] * size
    found = [_surest(names or [], values or []) for names, values in zip(lists, sure, strict=True)]
    labels, confidences = zip(*found, strict=True) if found else ((), ())
    return {"label": pa.array(labels, pa.string()), "confidence": pa.array(confidences, pa.float64())}


def _is_ranking(column: pa.Array) -> bool:
    """Tell whether cells are texts that list classes, as frames with lists are written into a CSV."""
    values = texts(column, len(column)).drop_null()[:LOOKED_AT].to_pylist() if pa.types.is_string(column.type) else []
    return bool(values) and all(value.startswith("[") and value.endswith("]") for value in values)


def _surest(names: Sequence[str], scores: Sequence[float]) -> tuple[str | None, float | None]:
    if len(names) != len(scores):
        return (names[0] if names else None), (scores[0] if len(scores) == 1 else None)
    return max(zip(names, scores, strict=True), key=lambda one: one[1], default=(None, None))


def _prefixed(rows: Rows, pattern: re.Pattern[str]) -> dict[int, str]:
    """Return the places of columns that are called by a prefix and a class, with the class as it is written."""
    found = {}
    for place, name in enumerate(rows.table.column_names):
        if match := pattern.match(re.sub(r"[\W]+", "_", name.strip().lower()).lstrip("_")):
            found[place] = name.strip()[-len(match[1]) :]
    return found


def _all_numbers(rows: Rows, places: Mapping[int, str]) -> bool:
    size = len(rows.lines)
    for place in places:
        values, wrong = numbers(column_at(rows, place), size)
        if wrong.any() or np.isnan(values).all():
            return False
    return True


def _matrix(rows: Rows, places: Mapping[int, str]) -> NDArray[np.float64]:
    return np.stack([numbers(column_at(rows, place), len(rows.lines))[0] for place in places], axis=1)


def _wrong(rows: Rows, places: Mapping[int, str]) -> NDArray[np.bool_]:
    """Return in which rows one of some columns holds what is no number."""
    each = [numbers(column_at(rows, place), len(rows.lines))[1] for place in places]
    found: NDArray[np.bool_] = np.logical_or.reduce(each)
    return found


def _scores(rows: Rows, found: Mapping[int, str], classes: Sequence[str], kind: str | None) -> dict[str, pa.Array]:
    """Return scores as lists, with the classes that their columns are called by."""
    import pyarrow.compute as pc

    if all(name.isdecimal() for name in found.values()):
        found, named = dict(sorted(found.items(), key=lambda one: int(one[1]))), list(classes)
    else:
        named = list(found.values())
        if set(named) == set(classes):
            found = dict(sorted(found.items(), key=lambda one: list(classes).index(one[1])))
            named = list(classes)
    matrix, wrong = _matrix(rows, found), _wrong(rows, found)
    if kind is None:
        sums = np.nansum(matrix, axis=1)
        kind = "probabilities" if (np.nanmin(matrix) >= 0) and (abs(sums - 1) <= TOLERANCE).mean() > 0.5 else "logits"
    # What is there and is no number must not pass for a row without scores.
    absent = np.isnan(matrix).all(axis=1) & ~wrong
    offsets = np.concatenate([[0], np.cumsum(~absent * matrix.shape[1])]).astype(np.int32)
    lists = pa.ListArray.from_arrays(offsets, matrix[~absent].ravel())
    spread = {kind: pc.if_else(pa.array(absent), None, lists)}
    if named:
        spread["classes"] = pa.array([named] * len(rows.lines), pa.list_(pa.string()))
    return spread


def _marked(rows: Rows, places: Mapping[int, str]) -> dict[str, pa.Array]:
    """Return the classes whose columns hold a one; as single labels where each row has one of them."""
    matrix = _matrix(rows, places)
    known = matrix[~np.isnan(matrix)]
    # CelebA writes -1 for what is not so.
    if not (np.isin(known, (0, 1)).all() or np.isin(known, (-1, 1)).all()):
        return {}
    names, marks = list(places.values()), matrix == 1
    if (marks.sum(axis=1) == 1).all():
        return {"label": pa.array([names[place] for place in marks.argmax(axis=1)], pa.string())}
    found = [[names[place] for place in np.flatnonzero(row)] for row in marks]
    return {"labels": pa.array(found, pa.list_(pa.string()))}


def _taken_apart(table: dict[str, pa.Array], role: Role) -> dict[str, pa.Array]:
    """Return columns without objects of several values: of a class and its confidence, a name and its number, a path."""
    found = dict(table)
    for name, column in table.items():
        if pa.types.is_struct(column.type):
            found |= _of_struct(name, column, found)
        elif name in {"label", "labels"} and _is_list_of_structs(column.type):
            found |= _best_of(column) if role == "predictions" else {name: _names_in(column)}
    return found


def _of_struct(name: str, column: pa.Array, table: Mapping[str, pa.Array]) -> dict[str, pa.Array]:
    fields = [column.type.field(place).name for place in range(column.type.num_fields)]
    if name in {"logits", "probabilities", "confidences"}:
        kind = "probabilities" if name == "confidences" else name
        return _of_classes(kind, column, fields)
    chosen = next((one for word in NAMED for one in fields if plain(one) == word), None)
    if chosen is None:
        raise ValueError(f"the column {name} holds objects with {', '.join(fields)}: none of them is a name")
    found = {name: _field(column, chosen)}
    sure = next((one for word in SURE for one in fields if plain(one) == word), None)
    if sure and "confidence" not in table:
        found["confidence"] = _field(column, sure)
    return found


def _field(column: pa.Array, name: str) -> pa.Array:
    import pyarrow.compute as pc

    return pc.struct_field(column, name)


def _of_classes(kind: str, column: pa.Array, classes: list[str]) -> dict[str, pa.Array]:
    """Return scores that objects give by class; what an object leaves out has none."""
    size = len(column)
    absent = 0.0 if kind == "probabilities" else -np.inf
    values = [numbers(_field(column, name), size) for name in classes]
    matrix = np.stack([np.where(np.isnan(found) & ~wrong, absent, found) for found, wrong in values], axis=1)
    given = column.is_valid().to_numpy(zero_copy_only=False)
    lists = [row.tolist() if known else None for row, known in zip(matrix, given, strict=True)]
    return {
        kind: pa.array(lists, pa.list_(pa.float64())),
        "classes": pa.array([classes] * size, pa.list_(pa.string())),
    }


def _is_list_of_structs(kind: pa.DataType) -> bool:
    return bool((pa.types.is_list(kind) or pa.types.is_large_list(kind)) and pa.types.is_struct(kind.value_type))


def _best_of(column: pa.Array) -> dict[str, pa.Array]:
    """Return the surest class of each list of classes with their scores, as pipelines of classifiers give them."""
    best = [max(_scored(row), default=(None, None), key=lambda one: one[0] or 0.0) for row in column.to_pylist()]
    return {
        "label": pa.array([name for _, name in best], pa.string()),
        "confidence": pa.array([score for score, _ in best], pa.float64()),
    }


def _scored(row: Sequence[Mapping[str, Any] | None] | None) -> Iterator[tuple[float | None, str | None]]:
    for one in row or ():
        fields = {plain(name): value for name, value in (one or {}).items()}
        name = next((fields[word] for word in NAMED if fields.get(word) is not None), None)
        score = next((fields[word] for word in SURE if isinstance(fields.get(word), int | float)), None)
        yield score, None if name is None else str(name)


def _names_in(column: pa.Array) -> pa.Array:
    rows = [None if row is None else [name for _, name in _scored(row) if name] for row in column.to_pylist()]
    return pa.array(rows, pa.list_(pa.string()))
