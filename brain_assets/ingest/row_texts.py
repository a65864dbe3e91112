"""What stands in the lines of a file that are rejected, so that nobody has to open the file to see what was lost."""

from collections.abc import Collection, Mapping
from itertools import islice

from brain_assets.resources.label_formats.input_files import InputFile
from brain_assets.resources.local_files import open_local

LINED = {".csv", ".tsv", ".jsonl", ".txt", ".lst"}
# Of a file that is wrong from beginning to end, the first rows tell what is.
MOST_ROWS, LONGEST = 10_000, 500


def row_texts(file: InputFile, lines: Collection[int]) -> Mapping[int, str]:
    """Return the texts of some lines of a file, by number from 1; of formats without lines nothing."""
    wanted = set(islice(sorted(line for line in lines if line > 0), MOST_ROWS))
    if not wanted or file.suffix not in LINED:
        return {}
    try:
        with open_local(file.path) as handle:
            numbered = zip(range(1, max(wanted) + 1), handle, strict=False)
            return {number: _text(line) for number, line in numbered if number in wanted}
    except OSError:
        return {}


def _text(line: bytes) -> str:
    return line[: 4 * LONGEST].decode("utf-8", "backslashreplace").strip()[:LONGEST].replace("\0", "\\0")
