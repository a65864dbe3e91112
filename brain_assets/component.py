"""The component by which other people's Dagster projects add a dataset: a ``defs.yaml`` of a few lines."""

from pathlib import Path
from typing import Any

import dagster as dg
import yaml
from dagster.components.component_scaffolding import scaffold_component
from pydantic import BaseModel, Field, ValidationError

from brain_assets.assets.declarations import check_declaration
from brain_assets.assets.lineage import assets_of, refresh_of, resources_of
from brain_assets.assets.place import WRITTEN_FROM, Place
from brain_assets.resources.errors import ConfigurationError
from brain_assets.resources.label_formats.input_files import IN_PATHS
from brain_assets.resources.settings.configuration import DatasetSettings
from brain_assets.resources.settings.home import Home
from brain_assets.resources.settings.validation import where, wrong
from brain_assets.sensors.arrivals import arrivals_of
from brain_assets.sensors.failures import failures_of
from brain_assets.sensors.label_tools import label_tools_of
from brain_assets.sensors.reviews import reviews_of
from brain_assets.sensors.slow_sources import list_source_of

Inputs = str | list[str] | list[dict[str, Any]]


class ScaffoldParams(BaseModel):
    """What ``dg scaffold defs brain_assets.BrainDataset`` may be told."""

    media: str = Field("images", description="Where the images lie; a path is relative to the folder of defs.yaml.")
    name: str | None = Field(None, description="The dataset's name; by default that of the folder.")


class BrainDatasetScaffolder(dg.Scaffolder[ScaffoldParams]):
    """Writes the ``defs.yaml`` of a dataset."""

    @classmethod
    def get_scaffold_params(cls) -> type[ScaffoldParams]:
        """Return what may be said."""
        return ScaffoldParams

    def scaffold(self, request: dg.ScaffoldRequest[ScaffoldParams]) -> None:
        """Write the file."""
        name = request.params.name or request.target_path.name
        scaffold_component(request, {"name": name, "media": request.params.media, "key_prefix": name, "group": name})


@dg.scaffold_with(BrainDatasetScaffolder)
class BrainDataset(dg.Component, dg.Model, dg.Resolvable):
    """Everything that is known of a dataset of images, kept current: duplicates, leaks, wrong labels, odd and broken images.

    Paths are relative to the folder of ``defs.yaml``. Runs, sensors and checks are those of the project's own instance.
    """

    name: str | None = Field(
        None,
        description="The dataset. Without a name, the assets are those of all datasets of the home, each a partition.",
    )
    media: str | list[str] | None = Field(
        None, description="Where the images lie. Without it, the dataset is one that 'brain add' has declared."
    )
    labels: Inputs = Field(
        [],
        description="Files or folders of labels, or 'folder' or 'name' where classes stand in the names of folders or images.",
    )
    predictions: Inputs = Field([], description="Files or folders of models' predictions.")
    settings: dict[str, Any] = Field({}, description="Everything else that dataset.yaml may say.")
    key_prefix: str | list[str] = Field([], description="What the keys of the assets begin with.")
    group: str | None = Field(None, description="The group of the assets; by default each chapter has its own.")
    home: str | None = Field(
        None, description="The folder that holds all state; by default $BRAIN_HOME, else ~/.brain."
    )
    sensors: bool = Field(True, description="Whether arrivals and reviews start runs by themselves.")

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Return assets, checks, jobs and sensors of the dataset."""
        place = self.place(context.path)
        made = (
            [arrivals_of(place), reviews_of(place), label_tools_of(place), failures_of(place)] if self.sensors else []
        )
        return dg.Definitions(
            assets=assets_of(place),
            jobs=[refresh_of(place), list_source_of(place)],
            sensors=made,
            resources=resources_of(place),
        )

    def place(self, folder: Path) -> Place:
        """Return where the assets stand; raises ConfigurationError where something that is said cannot be."""
        prefix = [self.key_prefix] if isinstance(self.key_prefix, str) else self.key_prefix
        root = Path(folder / Path(self.home).expanduser()) if self.home else None
        if self.name is None and (self.media or self.labels or self.predictions or self.settings):
            raise ConfigurationError("a dataset has a name: give it as name, or leave media, labels and settings out")
        if self.name:
            Home.default(root).paths(self.name)
        slug = "_".join(dict.fromkeys(["brain", *prefix, *([self.name] if self.name else [])]))
        return Place(slug, tuple(prefix), self.group, self.name, root, self._declaration(folder))

    def _declaration(self, folder: Path) -> str | None:
        """Return the text of dataset.yaml, None where it is not ours to write."""
        if not self.media:
            if self.labels or self.predictions or self.settings:
                raise ConfigurationError(
                    f"{self.name}: labels and settings stand in the dataset.yaml that 'brain add' wrote: say media here, too,"
                    " to declare the dataset here"
                )
            return None
        addresses = [self.media] if isinstance(self.media, str) else self.media
        media = [_absolute(folder, uri) for uri in addresses]
        tree: dict[str, Any] = {"media": media if len(media) > 1 else media[0]}
        tree |= {"labels": _inputs(folder, self.labels), "predictions": _inputs(folder, self.predictions)}
        tree = {key: value for key, value in (tree | self.settings).items() if value not in ([], None)}
        try:
            check_declaration(DatasetSettings.model_validate(tree))
        except ValidationError as error:
            first = error.errors()[0]
            raise ConfigurationError(f"{folder}: settings: {where(first)}: {wrong(first)}") from None
        said = f"{WRITTEN_FROM} {folder}: edit its defs.yaml, this file is written again.\n"
        return said + yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)


def _inputs(folder: Path, given: Inputs) -> list[dict[str, Any]]:
    entries: list[Any] = [given] if isinstance(given, str) else list(given)
    found = [{"uri": entry} if isinstance(entry, str) else dict(entry) for entry in entries]
    return [entry | {"uri": _absolute(folder, str(entry.get("uri", "")))} for entry in found]


def _absolute(folder: Path, uri: str) -> str:
    """Return an address so that it names the same wherever a run starts."""
    return uri if "://" in uri or uri in IN_PATHS else str((folder / Path(uri).expanduser()).resolve())
