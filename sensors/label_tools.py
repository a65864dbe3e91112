"""When to take back what people finished in label tools: every minute, while something that was sent is not finished.

What is taken in is noted where the review page notes what people say, and so leads to a run as that does.
"""

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import dagster as dg

from brain_assets.assets.place import SERVICE, Place
from brain_assets.resources.errors import BrainError
from brain_assets.resources.settings.configuration import load_service
from brain_assets.resources.settings.home import DatasetPaths
from brain_assets.resources.store.label_tasks import OUT, LabelTasks
from brain_assets.resources.store.label_tasks import Place as Project

INTERVAL_SECONDS = 60
# A server that takes longer is waited for by a thread, and no other has to wait for it.
PATIENCE_SECONDS = 20.0


@dataclass
class _Asking:
    """A question to a server, in a thread of its own."""

    paths: DatasetPaths
    project: Project
    said: str = "is still being asked"

    def __call__(self) -> None:
        # Most ticks ask nobody, and need none of it.
        from brain_assets.labelling.fetching import fetch
        from brain_assets.resources.label_tools.tools import tool_of

        try:
            # A later change of what is done comes by the command, which asks for all.
            self.said = str(
                fetch(self.paths, tool_of(self.project.tool, self.project.url), self.project.project, again=False)
            )
        except (BrainError, OSError, ValueError, LookupError) as error:
            self.said = f"{type(error).__name__}: {error}" if isinstance(error, LookupError) else str(error)


_asked: dict[tuple[str, Project], threading.Thread] = {}


def label_tools_of(place: Place) -> dg.SensorDefinition:
    """Return the sensor that takes in finished work on the datasets of a place."""

    @dg.sensor(
        name=place.named("finished_labels"),
        minimum_interval_seconds=INTERVAL_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Asks the label tools to which images were sent, and only these, what was finished there; what people did is"
        " noted as their decisions, which start a run as those of the review page do.",
    )
    def finished_labels(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        before: dict[str, float] = json.loads(context.cursor or "{}")
        seconds = load_service(place.home.settings).settings.label_tool_seconds
        now, reasons, asked = time.time(), list[str](), dict[str, float]()
        for paths, project in _waiting(place):
            name = f"{paths.name} at {' '.join(project)}"
            asked[name] = before.get(name, 0.0)
            if seconds and now - asked[name] >= seconds:
                asked[name] = now
                reasons.append(f"{paths.name}: {_ask(paths, project)}")
        return dg.SensorResult(
            skip_reason="; ".join(reasons) or "nothing is due at a label tool", cursor=json.dumps(asked)
        )

    return finished_labels


def _waiting(place: Place) -> Iterator[tuple[DatasetPaths, Project]]:
    """Yield the projects in which something is not finished."""
    for name in place.names():
        paths = place.home.paths(name)
        yield from ((paths, one.place) for one in LabelTasks(paths.label_tasks).counts() if one.states.get(OUT))


def _ask(paths: DatasetPaths, project: Project) -> str:
    """Ask a server, and return what came of it, unless it takes too long."""
    key = str(paths.folder), project
    if (running := _asked.get(key)) and running.is_alive():
        return f"{project.tool} {project.url} is still being asked"
    asking = _Asking(paths, project)
    _asked[key] = thread = threading.Thread(target=asking, name="label-tool", daemon=True)
    thread.start()
    thread.join(PATIENCE_SECONDS)
    return asking.said


finished_labels = label_tools_of(SERVICE)
