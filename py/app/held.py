"""What could not be saved for want of room: it stays in its form, as a sealed draft that saves
itself."""

from app import catalogue, dom, model


class Held:
    """This side of `app.form.Form`."""

    async def _not_saved(self, error, made):
        """For want of room it stays here as a draft that saves itself; else it says what is
        wrong."""
        if made is not None and error.code in model.NO_ROOM:
            first = self.held is None
            told = {"code": error.code, "text": error.message}
            told.update({"id": made["id"], "at": made["at"]})
            self._holding(told)
            self.show()
            if first:
                self._changes += 1  # the draft is not current without the mark
                await self.keep()
            return
        self.phase, self._message = "held" if self.held else "failed", error.message
        self.show()

    def _holding(self, held):
        if held:
            self.held, self.phase, self._message = held, "held", held["text"]

    def _let_go(self):
        self.held = None
        if self.phase == "held":
            self.phase = "idle"

    async def try_held(self, storage=False):
        """There may be room now; ``storage``: also where only another try can tell."""
        if (
            self.phase != "held"
            or self._app.state["kept"]
            or model.full(self._app.state, self.kind)
        ):
            return
        if self.held["code"] != "QUEUE_FULL" and not storage:
            return
        values = self.values()
        files = list(self.files.items)
        facts = self._app.state["facts"]
        values["destination"] = self.meant(values)
        if model.why_not_save(files) or catalogue.check(
            self._app.state["catalogue"], self.kind, values, facts
        ):
            return  # it is being changed: a person's Save says what is wrong with it
        await self._save(values, files, self._slot, by_itself=True)

    def keep_as_draft(self):
        """It is not to save itself after all."""
        self._let_go()
        self._keep_soon()
        self.show()
        dom.focus_field(self.kind, model.fields(self.kind)[0])
