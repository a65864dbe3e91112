"""One form for the names of classes, so that labels and predictions that mean the same are the same."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

MISSING = ("", "nan", "NaN", "NAN", "None", "null", "NULL", "<NA>", "NaT")
"""How programs write that there is no value; a class may be called so where the classes are declared."""
WHOLE_NUMBER = r"^([+-]?\d+)\.0*$"


def class_names(values: pa.Array, classes: Sequence[str] = ()) -> pa.Array:
    """Return names of classes in one form: trimmed, in NFC, whole numbers without a point, NULL for what is missing.

    Parameters
    ----------
    values : (n,) pyarrow.Array of str
    classes : sequence of str
        The known classes; a number that is none of them is the index of one.

    Examples
    --------
    >>> class_names(pa.array([" cat", "1.0", "nan", "7"]), ["cat", "dog"]).to_pylist()
    ['cat', 'dog', None, '7']
    """
    import pyarrow.compute as pc

    text = pc.utf8_normalize(pc.utf8_trim_whitespace(values), form="NFC")
    text = pc.replace_substring_regex(text, WHOLE_NUMBER, r"\1")
    unnamed = pa.array([word for word in MISSING if word not in classes], pa.string())
    text = pc.if_else(pc.is_in(text, value_set=unnamed), None, text)
    return _by_index(text, classes) if classes else text


def class_lists(lists: pa.Array, classes: Sequence[str] = ()) -> pa.Array:
    """Return lists of names of classes in one form, without what is missing; NULL where nothing but that was given."""
    import pyarrow.compute as pc

    names = class_names(pc.list_flatten(lists).cast(pa.string()), classes)
    known = names.is_valid().to_numpy(zero_copy_only=False)
    owners = pc.list_parent_indices(lists).to_numpy(zero_copy_only=False)[known]
    counts = np.bincount(owners, minlength=len(lists))
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    given = pc.fill_null(pc.list_value_length(lists), 1).to_numpy(zero_copy_only=False)
    emptied = pa.array((counts == 0) & (given > 0))
    return pc.if_else(emptied, None, pa.ListArray.from_arrays(offsets, names.filter(pa.array(known))))


def _by_index(text: pa.Array, classes: Sequence[str]) -> pa.Array:
    import pyarrow.compute as pc

    numbers = pa.array([str(number) for number in range(len(classes))], pa.string())
    named = pa.array(classes, pa.string()).take(pc.index_in(text, value_set=numbers))
    return pc.if_else(pc.is_in(text, value_set=pa.array(classes, pa.string())), text, pc.coalesce(named, text))
