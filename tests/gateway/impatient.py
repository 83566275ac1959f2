"""The real gateway with a short limit on request heads."""

from __future__ import annotations

import functools
import sys

from gateway import cli, settings

if __name__ == "__main__":
    cli.Settings = functools.partial(  # type: ignore[assignment, misc]
        settings.Settings, limits=settings.Limits(head_seconds=0.2)
    )
    sys.exit(cli.main())
