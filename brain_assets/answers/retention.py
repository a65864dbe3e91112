"""How long a dataset's own history is kept, so that a service that runs for years does not grow by running.

Every run adds some dozens of rows to ``runs`` and ``health``, which are published whole. After a month the last of each day
stays, after a year the last of each week: what plots over time plots on, and the newest record of each run always stays. Of the
numbered changes nothing is asked but the newest; they are kept for a month, for whoever looks into a fault.
"""

from brain_assets.resources.dataset import Dataset

WHOLE_DAYS, DAILY_DAYS = 30, 365
# Thinning waits until this many days are too much, so that it costs a query in most runs.
SLACK_DAYS = 7
DUE = f"select count(*) from changes where written_at < now() - interval {WHOLE_DAYS + SLACK_DAYS} day"
# What each table is thinned by: the time of a row, and what is one history.
HISTORIES = {"health": ("measured_at", "metric"), "runs": ("started_at", "brain_key")}
SURPLUS = """
    select run_id, {owner} from {table} where {at} < now() - interval {whole} day
    qualify row_number() over (
        partition by {owner}, if({at} < now() - interval {daily} day, date_trunc('week', {at}), date_trunc('day', {at}))
        order by {at} desc, run_id) > 1"""


def thin(dataset: Dataset) -> int:
    """Delete what is due of a dataset's history, and return how many rows of `HISTORIES` that were."""
    if not dataset.store.value(DUE):
        return 0
    deleted = 0
    with dataset.store.write(dataset.run_id, "published") as transaction:
        for table, (at, owner) in HISTORIES.items():
            surplus = SURPLUS.format(table=table, at=at, owner=owner, whole=WHOLE_DAYS, daily=DAILY_DAYS)
            query = f"delete from {table} where (run_id, {owner}) in ({surplus})"
            ((count,),) = transaction.execute(query).fetchall()
            deleted += count
            if count:
                transaction.mark(table)
        transaction.execute(
            f"delete from changes where written_at < now() - interval {WHOLE_DAYS} day"
            " and number < (select max(number) from changes)"
        )
    return deleted
