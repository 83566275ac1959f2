"""A gateway process with the desk (`desk`) behind it; the variable DESK_URL says where that is."""

from __future__ import annotations

import os
import sys

from tests.gateway import desk

from gateway.cli import main
from gateway.types import TYPES

if __name__ == "__main__":
    desk.URL = os.environ["DESK_URL"]
    TYPES["desk"] = desk.DeskAdapter
    sys.exit(main())
