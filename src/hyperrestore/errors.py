"""Every error that hyperrestore raises on purpose, so that a caller can catch exactly what it can answer.

    HyperrestoreError
    ├── UsageError            what was asked for cannot be done as asked; command line exit code 2
    │   ├── LevelError        a level outside what a model accepts
    │   ├── RecipeError       a training recipe with a missing, unknown or impossible entry
    │   └── MissingExtraError an optional dependency is not installed
    ├── TrainingError         training ran off; exit code 1
    ├── PictureError          a picture or film cannot be read or written; command line exit code 1
    │   └── DiskFullError     no space is left for it, nor for any other
    └── CheckpointError       a model file is damaged, foreign or of another version; exit code 1

Every message says what was given, what is allowed and what to do.
"""

import errno

FULL = (errno.ENOSPC, errno.EDQUOT)  # numbers of an OSError that end in a `DiskFullError`


class HyperrestoreError(Exception):
    """Base of all errors that hyperrestore raises on purpose."""

    exit_code = 1


class UsageError(HyperrestoreError):
    """The request cannot be carried out as given."""

    exit_code = 2


class LevelError(UsageError, ValueError):
    """A level that is not a number, or lies outside what the model accepts."""


class RecipeError(UsageError):
    """A training recipe with a missing, unknown or impossible entry."""


class MissingExtraError(UsageError, ImportError):
    """An optional dependency is needed and not installed."""


class TrainingError(HyperrestoreError):
    """Training diverged; its last good checkpoint is kept."""


class PictureError(HyperrestoreError):
    """A picture or a film cannot be read or written."""


class DiskFullError(PictureError):
    """A picture cannot be written because the disk is full or the user's quota is used up."""


class CheckpointError(HyperrestoreError):
    """A model file is damaged, truncated, foreign or of another format version."""


class ExtrapolationWarning(UserWarning):
    """The level lies outside the range that the model was trained on, or outside of its scale."""
