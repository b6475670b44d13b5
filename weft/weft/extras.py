"""What a missing extra says where it is needed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from .errors import UsageError


@contextmanager
def needs_extra(extra: str, purpose: str) -> Iterator[None]:
    """Turn the failing import of a third-party package into one sentence.

    Parameters
    ----------
    extra : str
        The optional dependency group that brings the package.
    purpose : str
        What needs it, as the sentence's subject.

    Raises
    ------
    UsageError
        If an import inside the ``with`` block fails because a package outside Weft is absent.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package == "weft" or package.startswith("weft_"):
            raise
        raise UsageError(
            f"{purpose} needs the Python package {package!r}, which is not installed; run: pip install 'weft[{extra}]'"
        ) from None
