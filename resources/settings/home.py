"""Where everything lies: the folder ``$BRAIN_HOME`` and the files of each dataset in it."""

import errno
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from brain_assets.resources.errors import ConfigurationError, MissingError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


@dataclass(frozen=True)
class DatasetPaths:
    """The files of one dataset, all below one folder, so that removing the folder removes the dataset."""

    folder: Path

    @property
    def name(self) -> str:
        """Name of the dataset, which is also its partition key."""
        return self.folder.name

    @property
    def config(self) -> Path:
        """Hand-editable declaration of the dataset."""
        return self.folder / "dataset.yaml"

    @property
    def store(self) -> Path:
        """DuckDB file that belongs to the pipeline."""
        return self.folder / "store.duckdb"

    @property
    def lock(self) -> Path:
        """File lock that a run holds from its first to its last step."""
        return self.folder / "run.lock"

    @property
    def previews(self) -> Path:
        """Append-only pack of small previews."""
        return self.folder / "previews.pack"

    @property
    def journal(self) -> Path:
        """Names what is being decoded, so that a file that kills the process is known at the next start."""
        return self.folder / "decoding.journal"

    @property
    def published(self) -> Path:
        """What readers may open."""
        return self.folder / "published"

    @property
    def events(self) -> Path:
        """What people said on the review page; belongs to the page, the pipeline reads it."""
        return self.folder / "review" / "events.sqlite"

    @property
    def label_tasks(self) -> Path:
        """What was sent to label tools, and how far it has come back."""
        return self.folder / "review" / "label_tasks.sqlite"

    @property
    def backups(self) -> Path:
        """Copies of what nothing can derive again, kept by every run."""
        return self.folder / "backups"

    @property
    def events_backup(self) -> Path:
        """The copy of what people said."""
        return self.backups / "events.sqlite"

    @property
    def kept_declaration(self) -> Path:
        """The declaration as the last run used it."""
        return self.backups / "dataset.yaml"

    @property
    def former_declaration(self) -> Path:
        """The declaration that was used before that."""
        return self.backups / "dataset.former.yaml"

    @property
    def formats(self) -> Path:
        """What became of the formats of others that tables are published in."""
        return self.folder / "formats.json"

    @property
    def report(self) -> Path:
        """The page that the last run left."""
        return self.folder / "report.html"

    @property
    def predictions(self) -> Path:
        """Drop folder for prediction files."""
        return self.folder / "predictions"


def put_in_place(draft: Path, path: Path) -> None:
    """Move a file to where a path leads, in one step; a link stays one, and what it points to is what changes."""
    target = path.resolve()
    try:
        draft.replace(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        beside = target.with_name(f".{target.name}.draft")
        shutil.copy2(draft, beside)
        beside.replace(target)


def unusable(home: "Home", error: OSError) -> ConfigurationError:
    """Return what to say of a home that the system refuses to read or write."""
    reason = f"{error.strerror or error} ({error.filename})" if error.filename else str(error)
    return ConfigurationError(
        f"the home {home.root} cannot be used: {reason}; give another folder with --home or BRAIN_HOME"
    )


@dataclass(frozen=True)
class Home:
    """The folder that holds all state."""

    root: Path

    @classmethod
    def default(cls, root: str | Path | None = None) -> "Home":
        """Return ``root``, else ``$BRAIN_HOME``, else ``~/.brain``."""
        return cls(Path(root or os.environ.get("BRAIN_HOME") or Path.home() / ".brain").expanduser().absolute())

    @property
    def settings(self) -> Path:
        """Service settings that hold for all datasets."""
        return self.root / "settings.yaml"

    @property
    def dagster(self) -> Path:
        """``DAGSTER_HOME``: run history and sensor state."""
        return self.root / "dagster"

    @property
    def service_lock(self) -> Path:
        """File lock that the one service on this home holds."""
        return self.root / "service.lock"

    @property
    def service_log(self) -> Path:
        """What the processes of the service say."""
        return self.root / "service.log"

    @property
    def cache(self) -> Path:
        """Files that can be made again: exported models and compiled kernels."""
        return self.root / "cache"

    @property
    def ledger(self) -> Path:
        """Fingerprints of what any dataset ever had, and of what others publish."""
        return self.root / "ledger"

    @property
    def datasets(self) -> Path:
        """One folder per dataset."""
        return self.root / "datasets"

    def names(self) -> list[str]:
        """Return the names of the declared datasets, sorted; raises ConfigurationError where the home cannot be read."""
        if self.root.exists() and not (self.root.is_dir() and os.access(self.root, os.R_OK | os.X_OK)):
            raise unusable(self, OSError("it is no folder that can be read"))
        return sorted(path.parent.name for path in self.datasets.glob("*/dataset.yaml"))

    def paths(self, name: str) -> DatasetPaths:
        """Return the files of a dataset that may not exist yet.

        Raises
        ------
        ConfigurationError
            If ``name`` cannot name a dataset.
        """
        if not NAME.fullmatch(name):
            raise ConfigurationError(
                f"{name!r} cannot name a dataset: use up to 100 of A-Z a-z 0-9 _ - . (first a letter or digit)"
            )
        return DatasetPaths(self.datasets / name)

    def existing(self, name: str) -> DatasetPaths:
        """Return the files of a declared dataset.

        Raises
        ------
        MissingError
            If there is no such dataset.
        """
        paths = self.paths(name)
        if not paths.config.exists():
            known = ", ".join(self.names()) or "none yet"
            raise MissingError(f"no dataset {name!r} in {self.root} (datasets: {known}); declare it with 'brain add'")
        return paths
