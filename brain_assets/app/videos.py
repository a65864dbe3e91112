"""What the frames of each video say of it: a row per video, from the rows of its frames."""

import duckdb

from brain_assets.app.views import SCORES, View
from brain_assets.resources.media.videos import FRAME

FRAMES = f"""
    select *, regexp_extract(filepath, '{FRAME.pattern}', 1, 'is') as video,
        regexp_extract(filepath, '{FRAME.pattern}', 2, 'is')::double as second
    from samples where regexp_full_match(filepath, '{FRAME.pattern}', 'is')"""
RAISED = """
    select video, map_from_entries(list((issue, frames) order by issue)) as issues from (
        select video, issue, count(distinct sample_id) as frames
        from issues join frames using (sample_id) where is_issue group by all) group by 1"""
TROUBLED = "sample_id in (select sample_id from issues where is_issue)"


def summarized(samples: View) -> duckdb.DuckDBPyRelation:
    """Return a row per video that frames of a view are of, by path; columns as `DatasetReader.videos` has them."""
    known = samples.table("samples").columns
    scores = "".join(
        f", avg({score}) as {score}, min({score}) as {score}_min, max({score}) as {score}_max"
        for _, score, _ in SCORES
        if score in known
    )
    labels = ", list_sort(list(distinct label) filter (label is not null)) as labels" if "label" in known else ""
    return samples.sql(f"""
        with frames as ({FRAMES}), raised as ({RAISED})
        select video, frames, errors, seconds, splits, summary.* exclude (video, frames, errors, seconds, splits),
            coalesce(issues, map()) as issues
        from (
            select video, count(*) as frames, count_if(status = 'error') as errors, max(second) as seconds,
                list_sort(list(distinct split) filter (split is not null)) as splits{labels}{scores},
                count_if({TROUBLED}) as frames_with_issues
            from frames group by video) summary
        left join raised using (video) order by video""")
