"""The benchmarks run and measure everything they say; their numbers are nobody's business here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tools.paths import ROOT

LEVELS, SIZES = ("FULL", "NORMAL"), ("one", "100")
STORES = ("memory", *(f"SQLite {level}" for level in LEVELS))
WORK = {
    "saving": {
        "bulk enqueue",
        "bulk enqueue against Dexie",
        "one at a time, awaited",
        "concurrent enqueues",
        "Save on the page",
        "storage per 600-byte item",
    },
    "draining": {"drain to the gateway", "heap growth of the worker"},
    "boot": {
        "page interactive, warm",
        "engine ready, warm",
        "first visit, cold",
        "first visit, transferred",
    },
    "cpython": {
        "CPython, memory: enqueue",
        "CPython, SQLite: enqueue",
        "CPython, memory store: put and take",
        "CPython, SQLite NORMAL: enqueue",
        *(f"CPython, SQLite {level}: put, {size} a commit" for level in LEVELS for size in SIZES),
        *(
            f"CPython, {which}: claim and settle, {size} a commit, {depth} deep"
            for which in STORES
            for size in SIZES
            for depth in (100, 400)
        ),
        *(f"CPython, {which}: a batch from a deep queue against a shallow one" for which in STORES),
        "CPython, memory: peak memory",
        "CPython, SQLite: peak memory",
        "CPython: claim, settle",
        "gateway: operations taken in",
    },
    "adapters": {
        f"deliver to {name}"
        for name in (
            "autotask",
            "jira",
            "postgrest",
            "salesforce",
            "servicenow",
            "webhook",
            "zendesk",
        )
    },
    "redis": {
        *(
            f"CPython, Redis: {what}, {size} a commit"
            for what in ("put", "claim and settle")
            for size in SIZES
        ),
        "CPython, Redis: a batch from a deep queue against a shallow one",
    },
    "gateway": {
        "one gateway on SQLite: operations taken in",
        *(f"gateways on Redis, {count}: operations taken in" for count in (1, 2, 4)),
    },
}


def rows_of(site: Path, folder: Path, *parts: str) -> set[str]:
    assert (site / "assets.json").exists()
    only = [word for part in parts for word in ("--only", part)]
    done = subprocess.run(
        [sys.executable, "-m", "e2e.bench", "--quick", "--out", str(folder), *only],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'py'}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads((folder / "quick.json").read_text())["rows"]
    assert all(row["values"] and row["how"] for row in rows)
    assert all(row["work"] in done.stdout for row in rows)
    return {row["work"] for row in rows}


@pytest.mark.full
def test_on_cpython(site: Path, tmp_path: Path) -> None:
    assert rows_of(site, tmp_path, "cpython") == WORK["cpython"]


@pytest.mark.full
def test_everything(site: Path, tmp_path: Path) -> None:
    """A first visit, all warm starts and all measurements, small."""
    assert rows_of(site, tmp_path, *WORK) == set().union(*WORK.values())
