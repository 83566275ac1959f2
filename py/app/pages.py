"""Rows of one list of the queue, loaded by page and refetched whenever something changed."""

from app import catalogue
from app.engine_client import EngineError

PAGE = 50
#: Beyond this, "Load more" pages on but a live refresh keeps to the newest ones.
REFRESHED_MAX = 500


class Pages:
    """Fills ``box``; ``show`` draws it. ``box["only"]``: the name of the one destination whose rows
    are wanted, None for all; they are looked for in the newest `REFRESHED_MAX` rows."""

    def __init__(self, app, box, show):
        self._app = app
        self._box = box
        self._show = show
        self._asked = 0

    def choose(self, name):
        """Another list, from its beginning."""
        if self._box["view"] != name:
            self._box.update({"view": name, "rows": None, "next": None, "error": None})

    def choose_only(self, name):
        """Those of one destination, from the beginning."""
        self._box.update({"only": name or None, "rows": None, "next": None, "error": None})

    async def refresh(self):
        """Ask again for as many rows as are shown; what lies beyond stays."""
        box = self._box
        name = box["view"]
        self._asked += 1
        asked = self._asked
        only = box.get("only")
        wanted = min(max(len(box["rows"] or []), PAGE), REFRESHED_MAX)
        rows, cursor = [], None
        try:
            rows, cursor = await self._read(name, None, only, wanted)
        except EngineError as error:
            box["error"] = error.message
            return
        if asked == self._asked and (box["view"], box.get("only")) == (name, only):
            older = (box["rows"] or [])[len(rows) :] if cursor and box["rows"] else []
            known = {row["id"] for row in rows}
            kept = [row for row in older if row["id"] not in known]
            box["rows"] = rows + kept
            box["next"] = box["next"] if kept else cursor
            box["error"] = None

    async def _read(self, name, cursor, only, wanted):
        """(rows, where to go on), from ``cursor`` on."""
        rows, looked = [], 0
        while len(rows) < wanted and looked < REFRESHED_MAX:
            asked = {"view": name, "cursor": cursor, "limit": PAGE}
            page = await self._app.engine.call("list", asked)
            looked += len(page["rows"])
            given = self._app.state["catalogue"]
            mine = [row for row in page["rows"] if not only or catalogue.goes_to(row) == only]
            rows.extend([catalogue.tell(given, row) for row in mine])
            cursor = page.get("next")
            if not cursor:
                break
        return rows, cursor

    async def more(self):
        box = self._box
        if box["loading"] or not box["next"]:
            return
        box["loading"] = True
        self._show()
        name, only = box["view"], box.get("only")
        try:
            rows, cursor = await self._read(name, box["next"], only, PAGE if only else 1)
            if (box["view"], box.get("only")) == (name, only):
                known = {row["id"] for row in box["rows"]}
                box["rows"] = box["rows"] + [r for r in rows if r["id"] not in known]
                box["next"] = cursor
        except EngineError as error:
            self._app.notes.add(error.message, "bad")
        finally:
            box["loading"] = False
        self._show()
