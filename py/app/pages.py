"""Rows of one list of the queue, loaded by page and refetched whenever something changed."""

from app.engine_client import EngineError

PAGE = 50
#: Beyond this, "Load more" pages on but a live refresh keeps to the newest ones.
REFRESHED_MAX = 500


class Pages:
    """Fills ``box``; ``show`` draws it."""

    def __init__(self, app, box, show):
        self._app = app
        self._box = box
        self._show = show
        self._asked = 0

    def choose(self, name):
        """Another list, from its beginning."""
        if self._box["view"] != name:
            self._box.update({"view": name, "rows": None, "next": None, "error": None})

    async def refresh(self):
        """Ask again for as many rows as are shown; what lies beyond stays."""
        box = self._box
        name = box["view"]
        self._asked += 1
        asked = self._asked
        wanted = min(max(len(box["rows"] or []), PAGE), REFRESHED_MAX)
        rows, cursor = [], None
        try:
            while len(rows) < wanted:
                page = await self._page(name, cursor)
                rows.extend(page["rows"])
                cursor = page.get("next")
                if not cursor:
                    break
        except EngineError as error:
            box["error"] = error.message
            return
        if asked == self._asked and box["view"] == name:
            older = (box["rows"] or [])[len(rows) :] if cursor and box["rows"] else []
            known = {row["id"] for row in rows}
            kept = [row for row in older if row["id"] not in known]
            box["rows"] = rows + kept
            box["next"] = box["next"] if kept else cursor
            box["error"] = None

    def _page(self, name, cursor):
        return self._app.engine.call("list", {"view": name, "cursor": cursor, "limit": PAGE})

    async def more(self):
        box = self._box
        if box["loading"] or not box["next"]:
            return
        box["loading"] = True
        self._show()
        name = box["view"]
        try:
            page = await self._page(name, box["next"])
            if box["view"] == name:
                known = {row["id"] for row in box["rows"]}
                box["rows"] = box["rows"] + [r for r in page["rows"] if r["id"] not in known]
                box["next"] = page.get("next")
        except EngineError as error:
            self._app.notes.add(error.message, "bad")
        finally:
            box["loading"] = False
        self._show()
