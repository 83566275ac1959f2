"""Bundling with esbuild. Any warning fails the build."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from tools.node import node
from tools.paths import MODULES, BuildError, run

# What Chromium, Firefox and WebKit of 2024 and later understand.
TARGET = "es2022"


def bundle(
    source: Path,
    target: Path,
    *options: str,
    define: Mapping[str, object] | None = None,
) -> None:
    """Bundle one entry file; constants are handed in as JSON."""
    esbuild = MODULES / "esbuild/bin/esbuild"
    defines = [f"--define:{name}={json.dumps(value)}" for name, value in (define or {}).items()]
    output = run(
        [
            *(node(), esbuild, source, f"--outfile={target}"),
            *("--bundle", "--minify", "--charset=utf8", "--legal-comments=inline"),
            *(f"--target={TARGET}", "--log-level=warning", *defines, *options),
        ]
    )
    if output.strip():
        raise BuildError(f"esbuild warned about {source.name}:\n{output}")
