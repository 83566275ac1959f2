"""The border to adapters that others wrote: whatever is raised there is an error of the queue here,
so a mistake in one stops its own lane and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import isgeneratorfunction
from typing import Any, cast

from fieldpost.engine.errors import AdapterError, QueueError

from .base import Destination, Script


class _Guarded:
    def __init__(self, inner: Destination):
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name)
        if not callable(value):
            return value
        guarded = _guarded(name, value)
        setattr(self, name, guarded)  # found at once from now on
        return guarded


def _guarded(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def call(*args: Any, **named: Any) -> Any:
        try:
            return method(*args, **named)
        except QueueError:
            raise
        except Exception as error:
            raise _mistake(name, error) from error

    @wraps(method)
    def script(*args: Any, **named: Any) -> Script[Any]:
        try:
            return (yield from method(*args, **named))
        except QueueError:
            raise
        except Exception as error:
            raise _mistake(name, error) from error

    return script if isgeneratorfunction(method) else call


def _mistake(name: str, error: Exception) -> AdapterError:
    return AdapterError(f"The adapter's `{name}` failed: {error!r}.")


def guarded(destination: Destination) -> Destination:
    """As it is, but that its methods raise `AdapterError` for whatever they raise."""
    return cast("Destination", _Guarded(destination))
