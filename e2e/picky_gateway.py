"""The real gateway with an inbox that judges by the first word of a summary.

"Refuse: …" is never taken as it is; "Busy: …" is put off until the file ``works-again`` lies in the
data folder.
"""

from __future__ import annotations

import sys
from pathlib import Path

from gateway import cli
from gateway.destinations import Inbox
from gateway.ledger import Answer
from gateway.wire import Operation

DATA = Path(sys.argv[sys.argv.index("--data") + 1])
kindly = Inbox.refuse


def refuse(self: Inbox, operation: Operation) -> Answer | None:
    summary = str(operation.payload.get("summary", ""))
    if summary.startswith("Refuse:"):
        wrong = {"summary": "says too little"}
        return Answer("rejected", code="INVALID_FIELDS", detail="Not as it is.", fields=wrong)
    if summary.startswith("Busy:") and not (DATA / "works-again").exists():
        return Answer("busy", code="BUSY", detail="The database is being restored.")
    return kindly(self, operation)


if __name__ == "__main__":
    Inbox.refuse = refuse  # type: ignore[method-assign]
    sys.exit(cli.main())
