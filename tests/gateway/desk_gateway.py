"""The real gateway, with adapters of the tests' own for what may stand in its file of destinations:
a desk, and a board that takes no files."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace

from tests.gateway.desk import DECLARED, DeskAdapter

from fieldpost.destinations.base import Declaration
from gateway import cli
from gateway.types import TYPES, Type


@dataclass
class BoardAdapter(DeskAdapter):
    declaration: Declaration = field(default=replace(DECLARED, attachments=False))


if __name__ == "__main__":
    TYPES.update(desk=Type(DeskAdapter, ("url",)), board=Type(BoardAdapter, ("url",)))
    sys.exit(cli.main())
