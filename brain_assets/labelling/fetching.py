"""Finished work taken back from a label tool, and noted beside what people said on the review page, under their names."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from brain_assets.labelling.comparing import Word, compare
from brain_assets.resources.errors import MissingError
from brain_assets.resources.label_tools.door import Asked, Finished, LabelTool
from brain_assets.resources.settings.home import DatasetPaths
from brain_assets.resources.store.events import Event, EventKind, Events
from brain_assets.resources.store.label_tasks import DONE, OUT, SKIPPED, LabelTasks, Place, Task

# Noted together, and taken in again at most when the process ends meanwhile, which changes nothing.
BATCH = 200
Key = tuple[EventKind, str, str | None]


@dataclass
class Fetched:
    """What came back: tasks by their state, what was said by kind, what cannot be used, and how many are still out."""

    place: Place
    states: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    unusable: list[str] = field(default_factory=list)
    left: int = 0

    def __str__(self) -> str:
        done = ", ".join(f"{count} {kind}" for kind, count in self.kinds.most_common()) or "nothing to correct"
        told = [f"{self.place.tool} project {self.place.project}: {self.states[DONE]} finished ({done})"]
        if self.states[SKIPPED]:
            told.append(f"{self.states[SKIPPED]} skipped")
        told.append(f"{self.left} still out")
        if self.unusable:
            told.append(f"{len(self.unusable)} cannot be used, such as {self.unusable[0]}")
        return "; ".join(told)


def places(
    paths: DatasetPaths, tool: str | None = None, url: str | None = None, project: str | None = None
) -> list[Place]:
    """Return the projects that something of a dataset was sent to and that are meant; all that are not told apart.

    Raises
    ------
    MissingError
        If nothing was sent there.
    """
    asked = {"tool": tool, "url": url and url.rstrip("/"), "project": project}
    known = [count.place for count in LabelTasks(paths.label_tasks).counts()]
    found = [one for one in known if all(value in {None, getattr(one, key)} for key, value in asked.items())]
    if not found:
        name, there = paths.name, ", ".join(f"{one.tool} {one.url} {one.project}" for one in known)
        raise MissingError(
            f"nothing of {name} was sent there (it was sent to: {there})"
            if there
            else f"nothing of {name} was sent to a label tool yet: brain label-tool send {name} --to label-studio --issue ISSUE"
        )
    return found


def fetch(paths: DatasetPaths, tool: LabelTool, project: str, *, again: bool = True) -> Fetched:
    """Take in the finished work of a project; the next run makes labels of it, and it can be undone as all that people say.

    Parameters
    ----------
    paths : DatasetPaths
    tool : LabelTool
    project : str
    again : bool
        Whether to ask for what was taken in before, too, as somebody may have changed it since.

    Returns
    -------
    Fetched

    Raises
    ------
    SourceError
        If the server fails; what was taken in before that is noted.
    """
    tasks, events = LabelTasks(paths.label_tasks), Events(paths.events)
    place = Place(tool.name, tool.url, project)
    known = {one.task: one for one in tasks.tasks(place, (OUT, DONE, SKIPPED) if again else (OUT,))}
    asked = [Asked(one.task, _size(one), one.mark) for one in known.values()]
    found, batch = Fetched(place), list[tuple[Task, Finished]]()
    for work in tool.finished(project, asked) if asked else ():
        batch.append((known[work.task], work))
        if len(batch) == BATCH:
            _take_in(batch, tasks, events, found)
            batch = []
    _take_in(batch, tasks, events, found)
    found.left = len(tasks.out(place))
    return found


def _size(task: Task) -> tuple[int, int]:
    wide, high = task.about["size"]
    return int(wide or 0), int(high or 0)


def _take_in(batch: Iterable[tuple[Task, Finished]], tasks: LabelTasks, events: Events, found: Fetched) -> None:
    """Note what a batch of finished tasks says, then that they are taken in: after a kill it is said once more, the same."""
    said: dict[Key, dict[str, tuple[str, str | None, str | None]]] = {}
    done = list[Task]()
    for task, work in batch:
        by = f"{task.place.tool}:{work.by}"
        words, stands = _compared(task, work, by, found)
        for word in words:
            subjects = said.setdefault((word.kind, by, task.issue), {})
            subjects[word.subject_id] = (word.subject_id, task.content_hash, word.value)
            found.kinds[word.kind] += 1
        found.states[stands.state] += 1
        done.append(stands)
    for (kind, by, issue), subjects in said.items():
        events.append(Event(kind, by, None, issue), subjects.values())
    if done:
        tasks.put(done)


def _compared(task: Task, work: Finished, by: str, found: Fetched) -> tuple[Sequence[Word], Task]:
    if work.content is None:
        return (), task.finished(SKIPPED, work.mark, by)
    compared = compare(task, work.content, work.unusable)
    found.unusable += [f"task {task.task}: {one}" for one in compared.unusable]
    about: Mapping[str, object] = compared.about
    return compared.words, task.finished(DONE, work.mark, by, about)
