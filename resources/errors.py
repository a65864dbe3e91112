"""What is reported to a user.

BrainError              one clear line: what is wrong and what to do; commands print it without a traceback
├── ConfigurationError  a wrong key or value in dataset.yaml, settings.yaml, the environment or an argument
├── LockedError         another process works on the same dataset
├── SourceError         a media source, label or prediction file cannot be reached or read as a whole
├── StoreError          the database of a dataset cannot be opened or written
└── MissingError        something optional is not installed, or a named thing does not exist
"""


class BrainError(Exception):
    """An error whose message is meant for the user: one line that says what is wrong and what to do."""


class ConfigurationError(BrainError):
    """A wrong key or value in a configuration file, the environment or an argument."""


class LockedError(BrainError):
    """Another process works on the same dataset."""


class SourceError(BrainError):
    """A media source, label or prediction file cannot be reached or read as a whole."""


class StoreError(BrainError):
    """The database of a dataset cannot be opened or written."""


class MissingError(BrainError):
    """Something optional is not installed, or a named thing does not exist."""


class Refused(Exception):
    """A file that is not decoded; the text is the reason, ``code: line``."""
