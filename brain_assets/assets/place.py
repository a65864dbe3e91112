"""Where the assets of datasets stand in Dagster: under which keys and group, and how a run names its dataset."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

import dagster as dg

from brain_assets.resources.errors import ConfigurationError
from brain_assets.resources.settings.home import Home, unusable
from brain_assets.resources.settings.instance import PARTITIONS
from brain_assets.resources.settings.private import close_to_others

PARTITION_TAG = "dagster/partition"
# Names the dataset of a run in projects of other people, where partitions may have the names of datasets.
DATASET_TAG = "brain/dataset"
# What a declaration begins with that a project wrote, before the project's folder.
WRITTEN_FROM = "# Written from"

UNDER_WAY = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


@dataclass(frozen=True)
class Place:
    """A set of all assets in a code location.

    Attributes
    ----------
    slug : str
        What the names of its jobs, sensors and resource begin with; empty in the code location of the service.
    prefix : tuple of str
        What the keys of its assets begin with.
    group : str, optional
        The group of all its assets; by default each has the group of its chapter.
    dataset : str, optional
        The dataset that the assets are of; by default each dataset of the home is a partition.
    root : Path, optional
        The home; by default ``$BRAIN_HOME``, else ``~/.brain``.
    declaration : str, optional
        The text of the dataset's ``dataset.yaml``, where a project declares it; it is written when it is first needed.
    """

    slug: str = ""
    prefix: tuple[str, ...] = ()
    group: str | None = None
    dataset: str | None = None
    root: Path | None = None
    declaration: str | None = None

    @property
    def home(self) -> Home:
        """The folder that holds all state."""
        return Home.default(self.root)

    @property
    def partitions(self) -> dg.DynamicPartitionsDefinition | None:
        """The partitions, one per dataset; None where the assets are of one dataset."""
        return None if self.dataset else dg.DynamicPartitionsDefinition(name=self.named(PARTITIONS))

    def names(self) -> list[str]:
        """Return the names of its datasets."""
        return [self.dataset] if self.dataset else self.home.names()

    def key(self, asset: str) -> dg.AssetKey:
        """Return the key of an asset."""
        return dg.AssetKey([*self.prefix, asset])

    def named(self, word: str) -> str:
        """Return a word as a name that no other set of assets has."""
        return f"{re.sub('[^A-Za-z0-9_]', '_', self.slug)}_{word}" if self.slug else word

    def tags(self, dataset: str) -> dict[str, str]:
        """Return the tags by which the runs of a dataset are found."""
        return {DATASET_TAG if self.slug else PARTITION_TAG: dataset}

    def dataset_of(self, run: dg.DagsterRun) -> str | None:
        """Return the dataset that a run of these assets is of; None where nobody chose one."""
        return self.dataset or run.tags.get(PARTITION_TAG)

    def partition_of(self, dataset: str) -> str | None:
        """Return the partition key of a dataset; None where the assets are not partitioned."""
        return None if self.dataset else dataset

    def prepare(self) -> None:
        """Write the dataset's declaration where the project has it and it is another than the last.

        Raises
        ------
        ConfigurationError
            If somebody else has declared a dataset of this name, or the home cannot be written.
        """
        if not self.declaration or not self.dataset:
            return
        paths = self.home.paths(self.dataset)
        try:
            known = paths.config.read_text("utf-8") if paths.config.exists() else WRITTEN_FROM
            if known == self.declaration:
                return
            if known.partition(":")[0] not in (WRITTEN_FROM, self.declaration.partition(":")[0]):
                raise ConfigurationError(
                    f"{self.dataset} is declared in {paths.config} already: give this one another name, or leave media out of"
                    " defs.yaml to use that one as it is"
                )
            close_to_others(self.home.root)
            paths.predictions.mkdir(parents=True, exist_ok=True)
            draft = paths.config.with_suffix(f".{os.getpid()}.draft")
            draft.write_text(self.declaration, "utf-8")
            draft.replace(paths.config)
        except OSError as error:
            raise unusable(self.home, error) from None


# The code location of the service.
SERVICE = Place()
