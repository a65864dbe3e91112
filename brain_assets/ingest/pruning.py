"""When what no sample refers to any more is dropped.

Files come back: a disk is mounted again, a folder is renamed in two steps. What was computed of a content is therefore
kept when its last sample goes, so that a return costs nothing, and dropped only once such rows are more than half of
their table. A table thus holds at most twice what is in use, and dropping costs on average less than the deletions did.
"""

from brain_assets.resources.store.store import Merge

UNUSED_CONTENT = "content_hash not in (select content_hash from samples where content_hash is not null)"


def unused(table: str, condition: str, *, at_once: bool = False) -> Merge:
    """Return the merge that drops the rows of ``table`` for which ``condition`` holds.

    Parameters
    ----------
    table : str
    condition : str
        SQL; true where nothing refers to a row. It is asked when the merge is made, after those before it.
    at_once : bool
        Whether to drop them even while they are few: when they were made with other settings and must not return.
    """
    many = f"(select 2 * count_if({condition}) > count(*) from {table})"
    within = condition if at_once else f"({condition}) and {many}"
    return Merge(table, f"select * exclude (changed) from {table} where false", within=within)
