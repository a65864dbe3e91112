"""Which sample a name in a file means: one answer for tables, annotations, results, and members of archives.

A name is compared as written first, then in NFC, with slashes for backslashes and without percent encoding. It is, in this order,

1. a sample's id, its address, or its path from the media root, with or without its suffix;
2. a path from the folder of the file that it stands in, or from the ``images`` beside that;
3. a bare name that one sample has, else the longest tail of a path that exactly one sample has. Where several have it, a word
   of the label file's own name (``val.json``) may tell in which folder to look; upper and lower case count only where they
   tell samples apart.

A name that fits several samples equally well is *ambiguous* and names none of them. A tail is no more than an indication: it
counts only while no other name of the same address fits its sample better, nor another of the same file as well, and while
the folders where the two paths part name different splits (``val/1.jpg`` is never ``train/1.jpg``).
"""

from collections.abc import Iterator

from brain_assets.incremental.update import Update
from brain_assets.ingest.input_rows import Changes
from brain_assets.resources.store.store import Merge

# What is asked: the first name that a file gives of an image stands for it, with the others that it has, in their order. A bare
# name, after two slashes, adds nothing to a path that ends with it; before other paths it counts more than these, which are late.
OF_TABLES = "select source, file, key as name, key as form, 1 as turn, false as late from {table}"
OF_ANNOTATIONS = r"""
    select source, file, name, regexp_replace(form, '^//', '') as form, min(turn) as turn, bool_and(late) as late from (
        select source, file, keys[1] as name, unnest(keys) as form, generate_subscripts(keys, 1) as turn, bare,
            coalesce(turn > bare, false) as late
        from (
            select *, list_min([i for i in range(1, len(keys)) if starts_with(keys[i], '//')
                and not list_bool_and([starts_with(key, '//') for key in keys[i + 1:]])]) as bare
            from {table} where keys[1] is not null))
    where form is not null and (turn = 1 or not starts_with(form, '//') or turn is not distinct from bare
        or substr(form, 3) not in (parse_filename(spelled(name)), without_suffix(parse_filename(spelled(name)))))
    group by source, file, name, regexp_replace(form, '^//', '')"""
NAMES = {
    "labels": (
        "label_names",
        f"{OF_TABLES.format(table='label_rows')} union all {OF_ANNOTATIONS.format(table='label_images')}",
    ),
    "predictions": (
        "prediction_names",
        f"{OF_TABLES.format(table='prediction_rows')} union all {OF_ANNOTATIONS.format(table='prediction_objects')}",
    ),
}
SAMPLES = "select sample_id, filepath, uri from samples"

# 1. Most names are paths as they stand; only what is left is spelled in other ways.
WHOLE = """
    asked as ({asked}),
    there as ({samples}),
    plainly as (
        select source, file, name, form, turn, sample_id from asked join (
            select sample_id, filepath as form from there union select sample_id, uri from there
            union select sample_id, sample_id from there) using (form)
        where not late
    ), spelt as (
        select *, spelled(form) as path from asked anti join plainly using (source, file, name)
    ), forms as (
        from (select source, file, name, turn, late, path, 0 as decoded from spelt
            union all select source, file, name, turn, late, try(url_decode(path)), 1 from spelt where contains(path, '%'))
        where path is not null
    ), spelt_samples as (
        select sample_id, filepath, spelled(filepath) as path, collapsed(spelled(uri)) as place from there
        where exists (from spelt)
    ), paths as (
        select sample_id, path, 0 as stem from spelt_samples union all select sample_id, place, 0 from spelt_samples
        union all select sample_id, without_suffix(path), 1 from spelt_samples
        union all select sample_id, without_suffix(place), 1 from spelt_samples
    ), wholly as (
        select source, file, name, turn, path as form, 2 * decoded + stem as kind, sample_id from forms join paths using (path)
        where not late
    ), """
# 2. From the folder of the file itself.
NEARBY = r"""
    open_forms as (select * from forms anti join wholly using (source, file, name)),
    homes as (
        select source, file, spelled(folder) as home from (select distinct source, file from open_forms)
        join {folders} using (source, file)
    ), nearby_paths as (
        select source, file, name, turn, decoded, collapsed(unnest([
            home || '/' || path, regexp_replace(home || '/' || path, '^(.*)/labels/', '\1/images/'),
            home || '/images/' || path, home || '/../images/' || path])) as path,
            unnest([0, 1, 2, 3]) as place
        from open_forms join homes using (source, file) where not late
    ), nearby as (
        select source, file, name, turn, path as form, 2 * place + stem as kind, sample_id
        from nearby_paths join paths using (path)
    ), """
# 3. A bare name that only one sample has, before tails of all lengths are made.
BARE = """
    bare_names as (
        select bare, min(sample_id) as sample_id from (
            select parse_filename(path) as bare, sample_id from spelt_samples where exists (from open_forms)
            union all
            select without_suffix(parse_filename(path)), sample_id from spelt_samples where exists (from open_forms))
        group by bare having count(distinct sample_id) = 1
    ), solely as (
        select source, file, name, turn, path as form, decoded as kind, sample_id
        from open_forms anti join nearby using (source, file, name) join bare_names on path = bare
        where not late
    ), lately as (
        select source, file, name, turn, path as form, 2 * decoded + stem as kind, sample_id
        from open_forms anti join nearby using (source, file, name) anti join solely using (source, file, name)
        join paths using (path) where late
    ), """
# 4. By the longest tail. Of every tail only the number of its samples and the first of them are kept, or names that a
# thousand folders share would be joined a thousand times.
TAILS = r"""
    loose as (
        select *, string_split(path, '/') as parts from open_forms anti join nearby using (source, file, name)
            anti join solely using (source, file, name) anti join lately using (source, file, name)
    ), hinted as (
        select source, file, name, turn, decoded, parts, 0 as hints from loose
        union all
        select source, file, name, turn, decoded, [word] || parts, 1 from (
            select *, unnest(list_distinct(regexp_extract_all(file, '[A-Za-z0-9]+')
                || [without_suffix(parse_filename(file))])) as word
            from loose)
    ), name_tails as (
        select *, array_to_string(parts[-k:], '/') as tail
        from (select *, unnest(range(if(hints = 1, len(parts), 1), len(parts) + 1)) as k from hinted)
    ), wanted as (
        select distinct lower(parts[-1]) as last from loose
    ), likely as (
        select sample_id, filepath, string_split(place, '/') as parts, stem, least(len(parts), deepest)::integer as depth from (
            select sample_id, filepath, place, 0 as stem from spelt_samples
            union all select sample_id, filepath, without_suffix(place), 1 from spelt_samples)
        cross join (select max(len(parts)) as deepest from hinted)
        where lower(parse_filename(place)) in (from wanted)
    ), sample_tails as (
        select sample_id, filepath, stem, array_to_string(parts[-k:], '/') as tail
        from (select *, unnest(range(1, depth + 1)) as k from likely)
    ), tails as (
        select tail, kind, count(*) as fitting, min(sample_id) as sample_id, min(filepath) as first, max(filepath) as last
        from (select sample_id, filepath, tail, stem as kind from sample_tails
            union all select sample_id, filepath, lower(tail), stem + 2 from sample_tails)
        group by tail, kind
    ), tailed as (
        select source, file, name, turn, parts, k, hints, fitting, sample_id, first, last
        from (select *, 0 as lowered from name_tails union all select * replace (lower(tail) as tail), 2 from name_tails) named
        join tails on named.tail = tails.tail and kind - lowered in (0, 1)
        qualify rank() over (partition by source, file, name order by k desc, kind, decoded, turn) = 1
    ), """
# A tail indicates; what else is said of the same sample, and the splits in the two paths, may speak against it.
WEIGHED = r"""
    found as (
        select source, file, name, turn, kind, sample_id from wholly
        union all select source, file, name, turn, 100 + kind, sample_id from nearby
        union all select source, file, name, turn, 200 + kind, sample_id from solely
        union all select source, file, name, turn, 300 + kind, sample_id from lately
        union all select source, file, name, turn, -1, sample_id from plainly
    ), exact as (
        select source, file, name, count(distinct sample_id) as fitting, min(sample_id) as sample_id,
            list_distinct([min(filepath), max(filepath)]) as candidates, min(kind) between 200 and 299 as is_bare
        from (from found qualify rank() over (partition by source, file, name order by kind, turn) = 1)
        join there using (sample_id) group by all
    ), indicated as (
        select source, file, name, if(count(distinct sample_id) > 1, 2, max(fitting)) as fitting, min(sample_id) as sample_id,
            list_distinct([min(first), max(last)]) as candidates,
            any_value(parts[hints + 1:]) as parts, max(k - hints)::integer as k
        from tailed group by source, file, name
    ), claims as (
        select source, file, name, sample_id, k, parts, k < len(parts) as parting from indicated where fitting = 1
        union all
        select source, file, name, sample_id, if(is_bare, 1, len(string_split(spelled(filepath), '/'))), null, false
        from exact join there using (sample_id) where fitting = 1 and sample_id in (select sample_id from indicated)
    ), rivals as (
        select *, max(k) over (partition by {scope}, sample_id) as best,
            count(*) over (partition by source, file, sample_id, k) as alike,
            count_if(not parting) over (partition by source, file, sample_id) as sure
        from claims
    ), weighed as (
        select source, file, name,
            case when best > k or sure > 0 then 'no_sample' when alike > 1 then 'ambiguous'
                when split_word(parts[-1 - k]) != split_word(string_split(place, '/')[-1 - k]) then 'no_sample' end as reason
        from rivals join spelt_samples using (sample_id) where parting
    ), """
ANSWERED = """
    answers as (
        select source, file, name, fitting, sample_id, candidates, null as reason from exact
        union all
        select source, file, name, fitting, sample_id, candidates, reason
        from indicated left join weighed using (source, file, name)
    )
    select asked.source, asked.file, asked.name, if(fitting = 1 and reason is null, sample_id, null) as sample_id,
        case when fitting is null then 'no_sample' when fitting > 1 then 'ambiguous' else reason end as reason,
        if(fitting > 1 or reason is not null, candidates, null) as candidates
    from (select distinct source, file, name from asked) asked left join answers using (source, file, name)"""


def resolved(update: Update, found: Changes) -> Iterator[Merge]:
    """Yield the merge that leaves the names in files with the samples that they mean now; none where no file ever had any."""
    table, asked = NAMES[found.role]
    scope = "source" if found.role == "labels" else "source, file"
    query, store = resolution(asked, f"{found.role}_listed", scope), update.dataset.store
    store.note(query)
    if found.touched or store.version(store.tables_of(asked)):
        yield Merge(table, query, within="true")


def resolution(asked: str, folders: str, scope: str = "source", samples: str = SAMPLES) -> str:
    """Return the query of the sample that each name means.

    Parameters
    ----------
    asked : str
        Query of source, file, name, form, turn and late: the forms in which a file gives a name, and whether they count only
        where those before them are none of a sample.
    folders : str
        Table of source, file, and the folder that the file lies in.
    scope : str
        The columns within which names are compared with each other.
    samples : str
        Query of the sample_id, filepath and uri of all samples.

    Returns
    -------
    str
        Query of source, file, name, and sample_id; where that is NULL, of the reason (``no_sample`` or ``ambiguous``) and
        some candidates.
    """
    parts = "".join((WHOLE, NEARBY, BARE, TAILS, WEIGHED, ANSWERED))
    return "with " + parts.format(asked=asked, folders=folders, scope=scope, samples=samples)
