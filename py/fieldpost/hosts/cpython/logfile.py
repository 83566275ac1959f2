"""The library's messages in a file that is renamed when it is full (A58)."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from typing import Any

from fieldpost.engine.config import LogConfig
from fieldpost.runtime.logs import LOGGER, described, redacted, threshold, wanted


class _Lines(logging.Formatter):
    """One line a message, redacted as the stored logs are; of an exception its type and place."""

    def format(self, record: logging.LogRecord) -> str:
        words = [self.formatTime(record), record.levelname, record.name]
        line = " ".join((*words, " ".join(redacted(record.getMessage()).split())))
        if record.exc_info and record.exc_info[1] is not None:
            error = described(record.exc_info[1])
            line += f" [{error['message']} at {', '.join(error['stack'].split(chr(10)))}]"
        return line


class _OwnFile(RotatingFileHandler):
    """For the owner only, from the first byte on."""

    def _open(self) -> TextIOWrapper[Any]:
        os.close(os.open(self.baseFilename, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
        return super()._open()


def log_to_file(config: LogConfig) -> Callable[[], None]:
    """Begin, if the configuration names a file; gives the way to end. Raises `OSError`."""
    if config.file is None:
        return lambda: None
    handler = _OwnFile(
        config.file, maxBytes=config.file_bytes, backupCount=config.files, encoding="utf-8"
    )
    handler.setFormatter(_Lines())
    handler.setLevel(threshold(config))
    handler.addFilter(lambda record: wanted(config, record.name, record.levelno))
    before = LOGGER.level
    if LOGGER.getEffectiveLevel() > handler.level:
        LOGGER.setLevel(handler.level)
    LOGGER.addHandler(handler)

    def end() -> None:
        LOGGER.removeHandler(handler)
        if LOGGER.level == handler.level:
            LOGGER.setLevel(before)
        handler.close()

    return end
