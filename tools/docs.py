"""Pages that are made from code: docs/states.md from the transition table. `--check` compares."""

from __future__ import annotations

import sys
from pathlib import Path

from fieldpost.engine.transitions import OPEN_STATES, TRANSITIONS, State
from tools.paths import ROOT, BuildError, main_guard, say

STATES = ROOT / "docs/states.md"

HEAD = """# States of an item

Made from `py/fieldpost/engine/transitions.py` by `python -m tools.docs`; do not edit.
An event that is not drawn (and has no row) raises `IllegalTransition` and changes nothing.

"""


def _name(state: State) -> str:
    return state.value


def diagram() -> str:
    """A Mermaid state diagram: one arrow for each pair of states, with all its events."""
    lines = ["```mermaid", "stateDiagram-v2", "    [*] --> pending", "    [*] --> blocked"]
    for state, moves in TRANSITIONS.items():
        arrows: dict[State, list[str]] = {}
        for event, after in moves.items():
            arrows.setdefault(after, []).append(event.value)
        for after, events in arrows.items():
            lines.append(f"    {_name(state)} --> {_name(after)}: {', '.join(events)}")
    return "\n".join([*lines, "```"])


def table() -> str:
    """The same as a table, by state and event."""
    lines = ["| state | event | leads to |", "| --- | --- | --- |"]
    for state, moves in TRANSITIONS.items():
        kind = "" if state in OPEN_STATES else " (end)"
        if not moves:
            lines.append(f"| `{_name(state)}`{kind} | – | stays for ever |")
        for event, after in moves.items():
            lines.append(f"| `{_name(state)}`{kind} | `{event.value}` | `{_name(after)}` |")
    return "\n".join(lines)


def generated() -> dict[Path, str]:
    """Every generated page and what it should hold."""
    return {STATES: f"{HEAD}{diagram()}\n\n{table()}\n"}


def stale() -> list[str]:
    """Generated pages that do not say what the code says."""
    return [
        str(path.relative_to(ROOT))
        for path, text in generated().items()
        if not path.is_file() or path.read_text() != text
    ]


def main() -> None:
    """Write the pages, or with `--check` refuse when they are stale."""
    if "--check" in sys.argv:
        if stale():
            raise BuildError(f"Out of date: {', '.join(stale())}. Run: python -m tools.docs")
        return
    for path, text in generated().items():
        path.write_text(text)
        say(f"{path.relative_to(ROOT)}")


if __name__ == "__main__":
    main_guard(main)
