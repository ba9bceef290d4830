"""PyAV, imported only when a film is read or written."""

from __future__ import annotations

from typing import Any

from hyperrestore.errors import MissingExtraError


def pyav() -> Any:
    """The module `av`.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise MissingExtraError("films need av (PyAV): pip install 'hyperrestore[film]'") from error
    return av
