"""Files of annotations as tests read them."""

from dataclasses import replace
from pathlib import Path

from brain_assets.resources.label_formats.annotations import Annotations
from brain_assets.resources.label_formats.door import recognise
from brain_assets.resources.label_formats.input_files import InputFile


def file_of(path: Path, form: str = "auto") -> InputFile:
    return InputFile(0, path.name, path, form, "ground_truth", None, 0, 0, 0)


def read_annotations(file: InputFile, form: str) -> Annotations:
    """Return what a file says that is declared to be of a format."""
    return recognise(replace(file, format=form)).read()
