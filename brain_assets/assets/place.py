"""Where the assets of datasets stand in Dagster: under which keys and group, and how a run names its dataset."""

import re
from dataclasses import dataclass
from pathlib import Path

import dagster as dg

from brain_assets.resources.settings.home import Home
from brain_assets.resources.settings.instance import PARTITIONS

PARTITION_TAG = "dagster/partition"
# Names the dataset of a run in projects of other people, where partitions may have the names of datasets.
DATASET_TAG = "brain/dataset"

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
    """

    slug: str = ""
    prefix: tuple[str, ...] = ()
    group: str | None = None
    dataset: str | None = None
    root: Path | None = None

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


# The code location of the service.
SERVICE = Place()
