"""An act on many items: what was done is said, with Undo, and what was not, item by item."""

from app import words
from app.engine_client import EngineError

#: Of as many of those that were left as they are it is found out where they stand by now.
LOOKED_AT = 20
#: A move that the state of an item does not allow: the state says more than the refusal.
_ILLEGAL = "QUEUE_ILLEGAL_TRANSITION"


class Many:
    """``box``: of the screen whose items they are; gets ``left`` (see `views.outbox.left`)."""

    def __init__(self, app, box):
        self._app = app
        self._box = box

    async def act(self, method, args, said, back=None):
        """Ask the engine; ``said``: "cancelled", ``back``: the act that undoes it. The ids that
        were done; None when nothing could be asked, which has been said."""
        titles = {row["id"]: words.title(row) for row in self._box["rows"] or []}
        try:
            told = await self._app.engine.call(method, args)
        except EngineError as error:
            self._app.notes.add((error.message + " " + error.todo).strip(), "bad")
            return None
        done, left = told["ids"], told["left"]
        pairs = []
        for identity in left:
            why = left[identity]["message"]
            if left[identity]["code"] == _ILLEGAL and len(pairs) < LOOKED_AT:
                why = await self._stands(identity, why)
            pairs.append((titles.get(identity) or words.short_id(identity), why))
        self.say_left(pairs)
        undo = None
        if back and done:

            def undo():
                self._app.task(self.act(back, {"ids": done}, "back in the queue"))

        if done or not left:
            text = "{} {}".format(words.count(len(done), "item"), said)
            self._app.notes.add(text, "info", "Undo" if undo else None, undo)
        self._app.refresh_soon()
        return done

    def say_left(self, pairs):
        """``[(title, why)]`` of what was left as it is; none: what was said before goes."""
        self._box["left"] = sorted(pairs) or None

    async def _stands(self, identity, otherwise):
        """Why it is left, from where it stands now."""
        try:
            one = await self._app.engine.call("detail", {"id": identity})
        except EngineError:
            return otherwise  # it went altogether; the refusal is all there is
        return words.LEFT.get(one["state"]) or otherwise
