"""The real gateway with an inbox that asks for more, as a destination with rules of its own does.

Its tickets need a category, one of its own, and are shorter.
"""

from __future__ import annotations

import sys
from dataclasses import replace

from fieldpost.engine.kinds import FEEDBACK, TICKET, Kinds
from gateway import cli, kinds

STRICT = replace(
    TICKET,
    required=("summary", "category"),
    choices={**TICKET.choices, "category": ("pumps", "valves")},
    max_length={**TICKET.max_length, "description": 80},
)

if __name__ == "__main__":
    kinds.TICKET = STRICT
    kinds._KINDS = Kinds(STRICT, FEEDBACK)
    kinds._OFFERED = {"ticket": {}, "feedback": {}}
    sys.exit(cli.main())
