"""A person who changes an item in the very moment in which a context claims it.

That moment is two reads and a write wide, and chance alone meets it in one world of hundreds; what
has to be refused then (the fence, invariant 5) deserves better.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from .people import act
from .world import World

#: Of the worlds, and of the claims in such a world.
_SHARE, _RATE = 0.2, 0.1
#: Seconds that such a claim takes to be written: time for another commit to come before it.
_HELD_S = 0.05


def meddle(world: World, seed: int) -> None:
    """Make some worlds such. With chances of its own: all other worlds stay as they were."""
    chance = random.Random(f"meddling {seed}")  # noqa: S311 - reproducible on purpose
    if chance.random() >= _SHARE:
        return

    def claimed(ids: Sequence[str]) -> float:
        tabs = [tab for tab in world.tabs if tab.awake and not tab.courier]
        if not tabs or chance.random() >= _RATE:
            return 0.0
        tab, priority = tabs[int(chance.random() * len(tabs))], 1 + int(chance.random() * 10)
        id_ = ids[int(chance.random() * len(ids))]
        act(world, tab, "person: meddles", lambda: tab.queue.set_priority([id_], priority))
        return _HELD_S

    world.disk.claimed = claimed
