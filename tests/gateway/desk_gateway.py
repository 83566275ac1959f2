"""A gateway process with the desk (`desk`) behind it; the variable DESK_URL says where that is."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

from tests.gateway.desk import DeskAdapter

from gateway.cli import main
from gateway.types import TYPES, Type


@dataclass
class Here(DeskAdapter):
    url: str = os.environ["DESK_URL"]


if __name__ == "__main__":
    TYPES["desk"] = Type(Here)
    sys.exit(main())
