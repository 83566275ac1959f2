"""The types of destinations that a configuration file may name."""

from __future__ import annotations

from fieldpost.destinations.adapter import Adapter

TYPES: dict[str, type[Adapter]] = {}
