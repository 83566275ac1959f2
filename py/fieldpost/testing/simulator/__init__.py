"""A deterministic simulator: the real queue in worlds made of a seed (docs/simulator.md)."""

from .actions import ACTIONS, Action
from .gateway import Backend, ModelGateway
from .monitor import INVARIANTS
from .reckoning import Outcome, run_world
from .scenarios import SCENARIOS, run
from .trace import Violation
from .world import Config, World

__all__ = [
    "ACTIONS",
    "INVARIANTS",
    "SCENARIOS",
    "Action",
    "Backend",
    "Config",
    "ModelGateway",
    "Outcome",
    "Violation",
    "World",
    "run",
    "run_world",
]
