"""Short messages at the edge of the page, with at most one thing to do about them."""

import asyncio

#: Long enough to read twice and to reach the button by keyboard.
SHOWN_MS = 12000
NOTES_MAX = 3


class Notes:
    """What is shown now; ``on_change`` draws it, ``run`` keeps a coroutine going."""

    def __init__(self, on_change, run):
        self.items = []
        self._on_change = on_change
        self._run = run
        self._last = 0

    def add(self, text, tone="info", act=None, do=None, after=None, stay=False):
        """Show a message; ``do`` runs on its button, ``after`` when it goes without that."""
        self._last += 1
        note = {
            "key": f"note{self._last}",
            "text": text,
            "tone": tone,
            "act": act,
            "do": do,
            "after": after,
        }
        self.items.append(note)
        while len(self.items) > NOTES_MAX:
            self.close(self.items[0]["key"])
        self._on_change()
        if not stay:
            self._run(self._expire(note["key"]))
        return note["key"]

    async def _expire(self, key):
        await asyncio.sleep_ms(SHOWN_MS)
        self.close(key)

    def close(self, key, acted=False):
        for note in self.items:
            if note["key"] == key:
                self.items = [other for other in self.items if other is not note]
                self._on_change()
                chosen = note["do"] if acted else note["after"]
                if chosen is not None:
                    chosen()
                return
