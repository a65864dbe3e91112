"""The Python face: read what is published of a dataset, and bring it up to date."""

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import duckdb
from numpy.typing import ArrayLike

from brain_assets.resources.errors import BrainError, MissingError
from brain_assets.resources.settings.home import Home
from brain_assets.resources.store import publishing

if TYPE_CHECKING:
    import pyarrow as pa

    from brain_assets.answers.differences import Difference
    from brain_assets.app.dataset_export import ExportedDataset
    from brain_assets.app.duplicates import By, FoundDuplicates, FoundUnique, Histogram
    from brain_assets.app.exporting import Exported
    from brain_assets.app.past import PastDataset
    from brain_assets.app.session import Session
    from brain_assets.app.split_leaks import Splits
    from brain_assets.app.splitting import SplitPlan
    from brain_assets.app.views import View
    from brain_assets.app.what_if import Outcome
    from brain_assets.labelling.fetching import Fetched
    from brain_assets.labelling.sending import Sent
    from brain_assets.resources.settings.configuration import DatasetSettings


class DatasetReader:
    """One dataset; a context manager, for whoever opens many.

    Relations read the set that was current when they were made, and stay valid until this object is closed.

    Parameters
    ----------
    name : str
    home : str, optional
        By default ``$BRAIN_HOME``, else ``~/.brain``.

    Raises
    ------
    MissingError
        If there is no such dataset.
    """

    def __init__(self, name: str, home: str | None = None) -> None:
        self.home = Home.default(home)
        self.paths = self.home.existing(name)
        self.name = name
        # What is open, for `close`; what nobody closes ends with the last who holds a connection or a relation of it.
        self._held = ExitStack()
        self._connections: dict[int, duckdb.DuckDBPyConnection] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def table(self, name: str) -> duckdb.DuckDBPyRelation:
        """Return a published table, with ``.df()``, ``.arrow()``, ``.pl()`` and further SQL; raises MissingError."""
        connection = self._current()
        known = [
            row[0] for row in connection.execute("select view_name from duckdb_views() where not internal").fetchall()
        ]
        if name not in known:
            raise MissingError(f"{self.name} has no table {name!r} (tables: {', '.join(sorted(known))})")
        return connection.table(name)

    def sql(self, query: str) -> duckdb.DuckDBPyRelation:
        """Return the result of a query over the published tables."""
        return self._current().sql(query)

    def materialize(self, select: Sequence[str] = (), settings: Mapping[str, Any] | None = None) -> None:
        """Bring the dataset, or some of its assets, up to date now, as a Dagster run.

        Parameters
        ----------
        select : sequence of str
            Names of assets; all when empty.
        settings : mapping, optional
            Settings for this run alone, dotted key to value, such as ``{"similarity.k": 30}``.

        Raises
        ------
        BrainError
            With the reason, when the run failed.
        """
        from brain_assets.app.materializing import materialize

        materialize(self.home, self.name, select, {key: json.dumps(value) for key, value in (settings or {}).items()})

    def similar(
        self, query: str | Sequence[str] | Path | bytes | ArrayLike, k: int = 15, **options: Any
    ) -> duckdb.DuckDBPyRelation:
        """Return the samples nearest to, or farthest from, a query, over the published vectors.

        Parameters
        ----------
        query : str, sequence of str, Path, bytes, or array
            The id or filepath of a sample, several, one vector or one per row, a text (a string that names no sample),
            where the model embeds text, or a picture that need not be in the dataset: its file as a Path, or its bytes.
        k : int
            Number of answers.
        **options
            ``farthest`` (bool), ``aggregate`` (mean, post-mean, post-min or post-max), ``metric`` (cosine, euclidean,
            dotproduct, manhattan, chebyshev, canberra, braycurtis or correlation), ``where`` (SQL condition on samples),
            ``brain_key`` and ``index``, as `brain_assets.answers.similar.Question` has them.

        Returns
        -------
        duckdb.DuckDBPyRelation
            ``rank``, ``subject_id``, ``sample_id``, ``filepath`` and ``distance``.

        Raises
        ------
        BrainError
            In one line, if an id is unknown, a vector does not fit, or the model does not embed text.
        """
        from brain_assets.answers.similar import question_of, similar

        connection = self._current()
        question = question_of(connection, query, k=k, **options)
        return connection.from_arrow(similar(self.home, self.name, connection, question))

    def sort_by_similarity(
        self, query: str | Sequence[str] | Path | bytes | ArrayLike, k: int | None = None, **options: Any
    ) -> "View":
        """Return a view of the samples nearest to a query, the nearest first; all of them without ``k``.

        Parameters
        ----------
        query : str, sequence of str, Path, bytes, or array
            As for `similar`, which tells how far each is away.
        k : int, optional
        **options
            ``reverse`` (bool) for the farthest first, ``aggregation``, and ``brain_key``, ``metric`` and ``where`` of `similar`.
        """
        from brain_assets.app import views

        names = {"reverse": "farthest", "aggregation": "aggregate"}
        asked = {names.get(name, name): value for name, value in options.items()}
        return views.nearest(self, query, k, asked)

    def where(self, condition: str) -> "View":
        """Return a view of the samples of which an SQL condition holds; see `brain_assets.app.views.View`.

        Examples
        --------
        >>> flowers.where("split = 'train' and uniqueness < 0.1").take(500).df()  # doctest: +SKIP
        """
        from brain_assets.app import views

        return views.where(self, condition)

    def match_tags(self, tags: str | Sequence[str], bool: bool = True, all: bool = False) -> "View":  # noqa: FBT001, FBT002 - as people know it
        """Return a view of the samples with any, or all, of some tags, given by the source or by people; or of those without."""
        from brain_assets.app import views

        return views.match_tags(self, tags, present=bool, every=all)

    def select(self, ids: Iterable[str], ordered: bool = False) -> "View":  # noqa: FBT001, FBT002
        """Return a view of samples by id or filepath; ``ordered`` keeps the order given."""
        from brain_assets.app import views

        return views.select(self, ids, ordered=ordered)

    def exclude(self, ids: Iterable[str]) -> "View":
        """Return a view without samples, named by id or filepath."""
        from brain_assets.app import views

        return views.exclude(self, ids)

    def take(self, size: int, seed: int = 51) -> "View":
        """Return a view of so many samples by chance, the same ones for the same seed."""
        from brain_assets.app import views

        return views.take(self, size, seed)

    def limit(self, limit: int) -> "View":
        """Return a view of the first samples."""
        from brain_assets.app import views

        return views.limit(self, limit)

    def skip(self, skip: int) -> "View":
        """Return a view without the first samples."""
        from brain_assets.app import views

        return views.limit(self, 1 << 40, skip)

    def sort_by(self, expression: str, reverse: bool = False) -> "View":  # noqa: FBT001, FBT002
        """Return a view ordered by an SQL expression, such as ``uniqueness``; samples without a value come last."""
        from brain_assets.app import views

        return views.sort_by(self, expression, reverse=reverse)

    def videos(self) -> duckdb.DuckDBPyRelation:
        """Return a row for each video that samples are frames of, from what is known of these.

        Returns
        -------
        duckdb.DuckDBPyRelation
            ``video`` (its path), ``frames``, ``errors`` (frames that cannot be read), ``seconds`` (time of the last one),
            ``splits`` and ``labels`` that frames have; of each score (``uniqueness``, ``representativeness``,
            ``outlier_score``, ``hardness``, ``mistakenness``) the mean, and with ``_min`` and ``_max`` the ends;
            ``frames_with_issues``, and ``issues``, a map of issue to the number of frames that have it.

        Examples
        --------
        >>> clips.videos().order("mistakenness_max desc").df()  # doctest: +SKIP
        """
        from brain_assets.app.videos import summarized
        from brain_assets.app.views import View

        return summarized(self if isinstance(self, View) else self.where("true"))

    def find_duplicates(
        self,
        threshold: float | None = None,
        *,
        fraction: float | None = None,
        by: "By" = "pixels",
        brain_key: str = "embeddings",
    ) -> "FoundDuplicates":
        """Return which samples duplicate which, at any threshold or for any share, from what was measured.

        Parameters
        ----------
        threshold : float, optional
            Inclusive; by default the dataset's own, as in the table ``near_duplicates``.
        fraction : float, optional
            Share of the samples to drop, in [0, 1], instead of a threshold, rounded to a number of samples; of equally
            distant ones, those that rank last are dropped.
        by : {"pixels", "embedding"}
            The distance of the table ``pairs``, or 1 - cosine of vectors, of which all pairs are compared.
        brain_key : str
            The run of these vectors.

        Returns
        -------
        brain_assets.app.duplicates.FoundDuplicates
            ``threshold``, ``unique_ids``, ``duplicate_ids``, ``neighbors_map``, ``duplicates_view()``, ``unique_view()`` and
            ``scatter()``. Kept first are protected splits, then the labelled, more pixels, larger files, smaller ids.

        Raises
        ------
        BrainError
            In one line, if both or a wrong threshold or share are given, or the distances do not reach far enough.

        Examples
        --------
        >>> found = flowers.find_duplicates(0.2)  # doctest: +SKIP
        >>> found.duplicates_view(sort_by="count", reverse=True).df()  # doctest: +SKIP
        """
        from brain_assets.app.duplicates import compared_by, find_duplicates

        vectors = compared_by(by, brain_key)
        return find_duplicates(self._current(), self._settings(), threshold, fraction, vectors)

    def find_unique(self, count: int, *, by: "By" = "embedding", brain_key: str = "embeddings") -> "FoundUnique":
        """Return ``count`` samples that are as unlike each other as can be, all where there are fewer.

        Parameters
        ----------
        count : int
        by : {"pixels", "embedding"}
        brain_key : str
            As for ``find_duplicates``.

        Returns
        -------
        brain_assets.app.duplicates.FoundUnique
            ``threshold``, which all distances among them exceed, ``unique_ids`` and ``unique_view()``.

        Raises
        ------
        BrainError
            In one line, if the count is negative or the distances do not reach far enough.
        """
        from brain_assets.app.duplicates import compared_by, find_unique

        return find_unique(self._current(), self._settings(), count, compared_by(by, brain_key))

    def distance_histogram(self, bins: int = 100, brain_key: str = "neighbors") -> "Histogram":
        """Return how many samples have their nearest neighbour how far away; its ``svg(threshold)`` is a picture.

        Raises
        ------
        BrainError
            If the run has no neighbours or ``bins`` is not positive.
        """
        from brain_assets.app.duplicates import distance_histogram

        return distance_histogram(self._current(), bins, brain_key)

    def leaks(
        self, splits: "Splits" = None, threshold: float | None = None, brain_key: str | None = None
    ) -> duckdb.DuckDBPyRelation:
        """Return every pair of copies in two splits, in both directions, with filepaths, splits, distance and kind.

        Parameters
        ----------
        splits : mapping of str to ids, sequence of str, or None
            The members of each split by sample id or filepath; or tags, each of which is a split; or the samples' own.
        threshold : float, optional
            By default the dataset's own.
        brain_key : str, optional
            A run of vectors: what is at most ``threshold`` apart by 1 - cosine of these is a leak. By default the distances of
            the table ``pairs``.

        Raises
        ------
        BrainError
            In one line, if a member is no sample or a tag is nobody's.
        """
        return self._current().from_arrow(self._leaks(splits, threshold, brain_key))

    def leaks_for_sample(
        self, sample: str, splits: "Splits" = None, threshold: float | None = None, brain_key: str | None = None
    ) -> duckdb.DuckDBPyRelation:
        """Return the leaks of one sample, named by id or filepath, nearest first; raises BrainError as ``leaks``."""
        connection = self._current()
        named = connection.execute(
            "select sample_id from samples where ? in (sample_id, filepath)", [sample]
        ).fetchall()
        if not named:
            raise MissingError(f"no sample {sample!r} (ids and filepaths count)")
        found = self._leaks(splits, threshold, brain_key)
        return connection.from_arrow(
            found.filter([one == named[0][0] for one in found.column("sample_id").to_pylist()])
        )

    def no_leaks(
        self, split: str, splits: "Splits" = None, threshold: float | None = None, brain_key: str | None = None
    ) -> duckdb.DuckDBPyRelation:
        """Return the samples of a split that have no copy in another, as rows of ``samples``; raises BrainError as ``leaks``."""
        from brain_assets.app.split_leaks import members_without

        return members_without(self._current(), self._leaks(splits, threshold, brain_key), split, splits)

    def tag_leaks(
        self,
        tag: str = "leak",
        splits: "Splits" = None,
        threshold: float | None = None,
        brain_key: str | None = None,
    ) -> int:
        """Tag all leaking samples, as on the review page; the next run takes the tags in.

        Returns
        -------
        int
            Samples that did not have the tag yet.
        """
        from brain_assets.app.tagging import note_tag

        leaky = self._leaks(splits, threshold, brain_key).column("sample_id").to_pylist()
        return note_tag(self._current(), self.paths, leaky, tag)

    def tag_samples(self, tag: str) -> int:
        """Give the samples a tag, as on the review page, and take it in at once; return how many did not have it yet.

        Tags are of reviewers: they stand in the table ``tags``, and those of the files stay.
        """
        return self._tag(tag, "tag")

    def untag_samples(self, tag: str) -> int:
        """Take a tag of reviewers from the samples, and note it at once; return how many had it."""
        return self._tag(tag, "untag")

    def _tag(self, tag: str, kind: Literal["tag", "untag"]) -> int:
        from brain_assets.app.directly import bring_directly
        from brain_assets.app.tagging import note_tag

        ids = [row[0] for row in self.sql("select sample_id from samples").fetchall()]
        count = note_tag(self._current(), self.paths, ids, tag, kind)
        bring_directly(self.home, self.name, ("reviews", "published"), "tagging")
        return count

    def send_to_label_tool(
        self, tool: str, *, url: str | None = None, project: str | None = None, **order: Any
    ) -> "Sent":
        """Send images to a label tool as tasks, with the labels that they have as proposals; of a view, those in it alone.

        What is out there already is not sent again. Labels do not change before somebody has finished a task.

        Parameters
        ----------
        tool : {"label-studio", "cvat"}
            Who asks is said by the environment: ``LABEL_STUDIO_API_KEY``; ``CVAT_ACCESS_TOKEN``, or ``CVAT_USERNAME`` and
            ``CVAT_PASSWORD``.
        url : str, optional
            Where the server is; by default what the environment says, else this machine.
        project : str, optional
            Number of a project there; without one a new one is made.
        **order
            ``issue``, a queue; ``where``, a condition on images; ``limit``; ``model``, whose finds are proposed, too;
            ``image_url``, what images' paths are put behind instead of uploading them.

        Returns
        -------
        Sent
            With ``project``, ``link``, ``images``, ``proposed``, ``already`` and ``left_out``.

        Raises
        ------
        BrainError
            In one line, as the command does.
        """
        from brain_assets.app.labelling import send_samples

        return send_samples(self, (tool, url, project), order)

    def fetch_from_label_tool(
        self, tool: str | None = None, *, url: str | None = None, project: str | None = None
    ) -> "list[Fetched]":
        """Take finished work of a label tool back, as decisions of those who did it; the next run makes labels of it.

        Parameters
        ----------
        tool, url, project : str, optional
            Which projects; all that something of the dataset was sent to where nothing is said.

        Returns
        -------
        list of Fetched
            One for each project, with ``states``, ``kinds``, ``unusable`` and ``left``.

        Raises
        ------
        BrainError
            If nothing was sent there, or a server fails.
        """
        from brain_assets.labelling.fetching import fetch, places
        from brain_assets.resources.label_tools.tools import tool_of

        found = places(self.paths, tool, url, None if project is None else str(project))
        return [fetch(self.paths, tool_of(one.tool, one.url), one.project) for one in found]

    def versions(self) -> duckdb.DuckDBPyRelation:
        """Return the versions that can be read, the newest first: ``version``, ``published_at``, ``tags``, ``samples``."""
        from brain_assets.app.past import listed
        from brain_assets.resources.store.history import open_history

        with open_history(self.paths.published) as history:
            return self._current().from_arrow(listed(history))

    def tag(self, tag: str, version: str | int = "current") -> None:
        """Give a version a name, which keeps it for ever; a name that another has moves. Raises BrainError."""
        from brain_assets.resources.store.history import tag as give_tag

        give_tag(self.paths.published, version, tag)

    def at(self, version: str | int) -> "PastDataset":
        """Return the dataset as it was published once; what reads published tables answers of that version.

        Parameters
        ----------
        version : str or int
            Number, tag, date (the end of that day), or time.

        Raises
        ------
        MissingError
            If there is no such version, with those that there are.

        Examples
        --------
        >>> flowers.at("before-cleanup").table("issues").df()  # doctest: +SKIP
        """
        from brain_assets.app.past import PastDataset

        return PastDataset(self, version)

    def diff(self, older: str | int, newer: str | int = "current") -> "Difference":
        """Return what is different between two versions, and why where it is known; printed, it is told in lines.

        Where ``older`` names another dataset, this one is compared with that, both as they are now.

        Raises
        ------
        BrainError
            In one line, if there is no such version or dataset, or the first version is the later one.
        """
        from brain_assets.answers.differences import compare, open_pair

        with open_pair(self.home, self.name, older, newer) as pair:
            return compare(pair)

    def what_if(
        self, settings: Mapping[str, Any] | None = None, *, drop: Sequence[str] = (), relabel: bool = False
    ) -> "Outcome":
        """Return which numbers and gates would follow from settings and decisions; nothing is changed.

        Parameters
        ----------
        settings : mapping of str to object, optional
            Dotted key to value, such as ``{"near_duplicates.threshold": 0.2}``.
        drop : sequence of str
            Issues whose images are supposed to be dropped.
        relabel : bool
            Whether doubted labels are supposed to be replaced by those suggested.

        Raises
        ------
        BrainError
            In one line, if a setting or issue is unknown, or nothing was computed yet.
        """
        from brain_assets.app.what_if import Supposed, what_if

        texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in (settings or {}).items()}
        return what_if(self.home, self.name, Supposed(texts, drop, relabel))

    def split(
        self,
        shares: Mapping[str, float] | None = None,
        *,
        where: str | None = None,
        previous: str | Path | None = None,
        by_cluster: bool = False,
        **settings: Any,
    ) -> "SplitPlan":
        """Plan splits that cannot leak, from what is published; nothing is written.

        Parameters
        ----------
        shares : mapping of str to float, optional
            Of each split, such as ``{"train": 0.8, "test": 0.2}``; 1 together.
        where : str, optional
            SQL condition on samples: only these are planned.
        previous : str or Path, optional
            An earlier plan that was written: what it names stays where it is.
        by_cluster : bool
            Whether the clusters of similar images keep their shares, too, as classes do.
        **settings
            ``folds`` instead of shares, ``given`` (start from the splits that samples have), ``repair`` (end leaks of these by
            the fewest moves), ``relations`` and ``seed``, as the section ``splits`` of ``dataset.yaml`` has them.

        Returns
        -------
        brain_assets.app.splitting.SplitPlan
            ``table``, ``proof``, ``splits`` (ids by split), ``df()`` and ``write(path)``.

        Raises
        ------
        BrainError
            In one line, if a setting is wrong or copies are not known yet.

        Examples
        --------
        >>> flowers.split({"train": 0.8, "val": 0.1, "test": 0.1}).write("splits.csv")  # doctest: +SKIP
        """
        from brain_assets.app.splitting import Question, asked_for, split

        wanted = asked_for(self._settings().splits, shares or {}, settings)
        question = Question(wanted, where, Path(previous).expanduser() if previous else None, by_cluster)
        return split(self._current(), self._settings(), question)

    def _leaks(self, splits: "Splits", threshold: float | None, brain_key: str | None) -> "pa.Table":
        from brain_assets.app.split_leaks import leaks

        return leaks(self._current(), self._settings(), splits, threshold, brain_key)

    def export_objects(self, path: str | Path, *, force: bool = False, **choice: Any) -> "Exported":
        """Write the labels of objects, as reviewers left them, as a COCO file of its own; nothing else changes.

        Parameters
        ----------
        path : str or Path
            Outside of the dataset's own labels and predictions.
        force : bool
            Whether a file that exists is replaced.
        **choice
            ``field`` (by default ``ground_truth``); ``missing_objects`` (bool), to add what ``object_mistakenness`` holds as
            ``possible_missing``, each marked ``"origin": "model"`` with model, confidence and score; of these only those of
            one ``model``, or of a ``min_score`` in [0, 1].

        Returns
        -------
        brain_assets.app.exporting.Exported
            ``path``, ``images``, ``labels``, ``added`` (by model) and ``left_out`` (images of unknown size).

        Raises
        ------
        BrainError
            In one line, if there are no such objects, field or model, or the file exists or cannot be written.
        """
        from brain_assets.app.exporting import ExportChoice, export_objects

        dataset = self.paths, self._settings()
        return export_objects(self._current(), dataset, Path(path).expanduser(), ExportChoice(**choice), force=force)

    def export(self, path: str | Path, format: str, *, force: bool = False, **choice: Any) -> "ExportedDataset":
        """Write the cleaned dataset, with its images, into a folder; nothing else changes.

        Parameters
        ----------
        path : str or Path
            A folder that is not there, or empty; outside of what the dataset reads.
        format : str
            coco, yolo, voc, cvat, labelstudio, csv, parquet, folders, webdataset, huggingface, fiftyone or
            fiftyone-dataset.
        force : bool
            Whether an earlier export that is there is replaced.
        **choice
            ``where`` (SQL over ``samples``), ``without`` (issues), ``splits``, ``plan`` (a run of ``planned_splits``, whose
            splits stand in place of those of the files); ``retain``, of exact_duplicate, near_duplicate
            and leak those that stay in; ``field`` (by default ``ground_truth``), ``images`` (``link`` or ``copy``).

        Returns
        -------
        brain_assets.app.dataset_export.ExportedDataset
            ``path``, ``images``, ``labels``, ``objects``, ``left_out`` (by reason), ``changed`` and ``lost``.

        Raises
        ------
        BrainError
            In one line, if there is no such format, issue or split, or the folder cannot be written.
        """
        from brain_assets.app.cleaning import Cleaning
        from brain_assets.app.dataset_export import Wanted, export_dataset

        cleaning = Cleaning(
            **{key: choice.pop(key) for key in ("where", "without", "retain", "splits", "plan") if key in choice}
        )
        dataset = self.paths, self._settings()
        wanted = Wanted(format, cleaning, **choice)
        return export_dataset(self._current(), dataset, Path(path).expanduser(), wanted, force=force)

    def _settings(self) -> "DatasetSettings":
        from brain_assets.resources.settings.configuration import load_dataset

        return load_dataset(self.paths.config).settings

    def show(self, view: "DatasetReader | None" = None, *, port: int = 0, browser: bool = False) -> "Session":
        """Serve the review page from this process, showing the dataset or a view of it; its link is ``url``.

        Parameters
        ----------
        view : DatasetReader, optional
            By default the dataset or view that is asked. Another one is shown by assigning to ``view`` of the session.
        port : int
            0 for any that is free.
        browser : bool
            Whether to open a browser.
        """
        from brain_assets.app.session import Session

        return Session(self if view is None else view, port=port, browser=browser)

    def runs(self, method: str | None = None, **configuration: Any) -> duckdb.DuckDBPyRelation:
        """Return the newest record of every run, or of those of a method and with these values in their configuration."""
        from brain_assets.app.runs import latest_runs, recorded

        with recorded(self.home, self.name) as connection:
            return publishing.apart(latest_runs(connection, method, configuration))

    def run_history(self, brain_key: str) -> duckdb.DuckDBPyRelation:
        """Return all records of one run, the newest first; raises MissingError."""
        from brain_assets.app.runs import history, recorded

        with recorded(self.home, self.name) as connection:
            return publishing.apart(history(connection, brain_key))

    def rename_run(self, old: str, new: str) -> None:
        """Rename a declared run, with its rows, record and calibrations; raises BrainError."""
        from brain_assets.app.runs import rename

        rename(self.home, self.name, old, new)

    def delete_run(self, brain_key: str) -> None:
        """Delete a declared run, with its rows, record and calibrations; raises BrainError."""
        from brain_assets.app.runs import delete

        delete(self.home, self.name, brain_key)

    def connection(self) -> duckdb.DuckDBPyConnection:
        """Return the connection to the current set that `table` and `sql` use; it lives as long as this object."""
        return self._current()

    def __repr__(self) -> str:
        try:
            samples = self.sql("select count(*) from samples").fetchall()[0][0]
        except BrainError:
            return f"<dataset {self.name}: nothing published yet>"
        return f"<dataset {self.name}: {samples} samples>"

    def _repr_html_(self) -> str:
        from brain_assets.app.pictures import gallery

        try:
            self.table("samples")
        except BrainError:
            return f"<h3>{repr(self).strip('<>')}</h3>"
        rows = self.sql("select sample_id, filepath from samples where status = 'ok' limit 8").fetchall()
        return gallery(self, [rows], repr(self).strip("<>")).html

    def close(self) -> None:
        """Let go of the sets that were opened; their relations end."""
        self._connections.clear()
        self._held.close()

    def _current(self) -> duckdb.DuckDBPyConnection:
        """Return a connection to the current set, opened once per set."""
        number = self._number()
        if number not in self._connections:
            self._connections[number] = self._opened()
        return self._connections[number]

    def _number(self) -> int:
        found = publishing.manifest(self.paths.published)
        return found["number"] if found else 0

    def _opened(self) -> duckdb.DuckDBPyConnection:
        connection, let_go = publishing.open_lasting(self.paths.published)
        self._held.callback(let_go)
        self._held.callback(connection.close)
        return connection
