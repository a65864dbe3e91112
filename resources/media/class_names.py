"""The class that an image's own name says, as in ``cat.12.jpg`` or ``american_bulldog_7.jpg``."""

import re

from brain_assets.resources.media.splits import SPLITS

# What stands before the number at the end of a name, with or without a mark between them; both read alike by Python and RE2. Only
# where a name begins is it looked for: Python would try every letter.
PARTED = r"(?:^|/)([^/]*[^\s._()/-])[\s._(-]+\d+\)?\.[^./]+$"
JOINED = r"(?:^|/)([^/]*[^\d\s._()/-])\d+\.[^./]+$"
SAYING = r"[^\d\s._()/-]"
# What tools put between a name and its ending: Roboflow the former ending and a hash.
ADDED = r"_(?i:jpe?g|png|bmp|webp|tiff?)\.rf\.\w+(\.\w+)$"
# What cameras, phones, scanners and programs call pictures, whatever is in them.
OF_DEVICES = frozenset({
    "capture", "clip", "dcim", "dji", "dsc", "dscf", "dscn", "file", "frame", "gopr", "gp", "im", "image", "images", "img",
    "imgp", "kakaotalk", "mvimg", "p", "page", "pano", "photo", "pic", "picture", "pxl", "sample", "scan", "screenshot",
    "snapshot", "untitled", "vid", "video", "whatsapp", "wp",
})  # fmt: skip


def class_in(path: str) -> str | None:
    """Return what a file's name says before the number at its end, None where it ends in none or says nothing.

    Examples
    --------
    >>> [class_in(name) for name in ("train/cat.12.jpg", "american_bulldog_7.jpg", "dog12.png", "n01440764_10026.JPEG")]
    ['cat', 'american_bulldog', 'dog', 'n01440764']
    >>> [class_in(name) for name in ("owl (3).jpg", "cat-7_jpg.rf.0a1b2c.jpg", "2021_03.jpg", "0017.png", "cat.jpg")]
    ['owl', 'cat', None, None, None]
    """
    name = re.sub(ADDED, r"\1", path, flags=re.ASCII)
    found = re.search(PARTED, name, re.ASCII) or re.search(JOINED, name, re.ASCII)
    return found[1] if found and re.search(SAYING, found[1], re.ASCII) else None


def may_be_class(said: str) -> bool:
    """Return whether what a name says may be a class: it is neither a split, nor what devices call all pictures.

    Examples
    --------
    >>> [may_be_class(said) for said in ("cat", "IMG_20210304", "test")]
    [True, False, False]
    """
    words = set(re.findall(r"[^\W\d_]+", said.lower()))
    return bool(words - OF_DEVICES - SPLITS.keys())


def class_query(path: str) -> str:
    """Return the SQL expression of what `class_in` returns of a path that SQL names."""
    name = f"regexp_replace({path}, '{ADDED}', '\\1')"
    parted, joined = (f"nullif(regexp_extract({name}, '{pattern}', 1), '')" for pattern in (PARTED, JOINED))
    # A parted name that says nothing says nothing when it is read as a joined one, either.
    found = f"coalesce({parted}, {joined})"
    return f"if(regexp_matches({found}, '{SAYING}'), {found}, null)"
