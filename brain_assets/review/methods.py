"""What the page may have computed beside what is there, by whoever serves it: further runs of methods, another setting."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

# A condition that names its samples one by one is written into the dataset's file.
MOST_NAMED = 10_000


@dataclass(frozen=True)
class Option:
    """What a run may say that is otherwise as the dataset's file has it.

    Attributes
    ----------
    name : str
        ``model``, ``embeddings``, ``similarity``, or ``parameters.`` and the name of a setting.
    description : str
    value : str
        What holds without being said, as YAML; empty for none.
    choices : sequence of str
        All values that there are; empty where any may be written.
    """

    name: str
    description: str
    value: str
    choices: Sequence[str] = ()


@dataclass(frozen=True)
class Method:
    """A method that can have further runs.

    Attributes
    ----------
    method : str
    description : str
    runs : sequence of str
        The keys of the further runs that are declared.
    narrows : bool
        Whether a run can be about some samples alone.
    options : sequence of Option
    """

    method: str
    description: str
    runs: Sequence[str]
    narrows: bool
    options: Sequence[Option] = ()


@dataclass(frozen=True)
class Progress:
    """What is being done about a dataset.

    Attributes
    ----------
    running : str, optional
        Who works on it, in words; None where nobody does.
    failed : str, optional
        Why what the page had started last came to nothing.
    place : str
        Who would compute, and where, in words.
    """

    running: str | None
    failed: str | None
    place: str


@dataclass(frozen=True)
class Setting:
    """A number of the dataset's file.

    Attributes
    ----------
    value : float or False, optional
        What was said; False where it is off, None where the default holds.
    origin : str
        Where it was said: the file and its line, an environment variable, or ``default``.
    description : str
    """

    value: float | Literal[False] | None
    origin: str
    description: str


class Methods(Protocol):
    """Declares runs and settings, and has what follows computed."""

    def offered(self, dataset: str) -> list[Method]:
        """Return the methods that can have further runs."""

    def compute(
        self, dataset: str, method: str, brain_key: str, where: str | None, options: Mapping[str, str] | None = None
    ) -> None:
        """Declare a run, of some samples by an SQL condition, and have it computed; ``options`` are values by name, as YAML.

        Raises
        ------
        BrainError
            In one line, if there can be no such run.
        """

    def delete(self, dataset: str, brain_key: str) -> None:
        """Have a declared run deleted, with its rows; raises BrainError as `compute`."""

    def setting(self, dataset: str, key: str) -> Setting:
        """Return a setting by its dotted key."""

    def suppose(self, dataset: str, key: str, value: float | None) -> Mapping[str, Any]:
        """Return what would follow from a setting, as `brain what-if` tells it; None is the default. Raises as `compute`."""

    def assign(self, dataset: str, key: str, value: float | None) -> str | None:
        """Write a setting into the dataset's file, and have what follows computed; None is the default.

        Returns what keeps it from having an effect, if anything does. Raises as `compute`.
        """

    def progress(self, dataset: str) -> Progress:
        """Return what is being done."""

    def cancel(self, dataset: str) -> bool:
        """Ask for what is being done to stop; return whether there was something."""

    def close(self) -> None:
        """Stop what was started."""
