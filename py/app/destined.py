"""Where the item of a form goes, and what follows from that: choices, further fields, files."""

from app import catalogue, dom, model
from app.device import DeviceError
from app.views import capture as view

#: Under which name the device keeps what was chosen last, by kind.
REMEMBERED = "destinations"


class Destined:
    """This side of `app.form.Form`."""

    def _begin(self):
        #: The name of the destination; "" where somebody has to choose.
        self.destination = ""
        #: What it requires beside the fields that stand in the page (see `catalogue.further`).
        self.further = []
        #: What was typed into fields that went with another choice, or are not there yet.
        self._typed = {}
        #: Whether somebody can choose; else what the hidden field says is nobody's choice.
        self._asks = False

    def values(self):
        """What stands in the form, by name."""
        found = dom.values(self.kind)
        if not self._asks:
            found.pop("destination", None)
        return found

    @property
    def _catalogue(self):
        return self._app.state["catalogue"]

    def meant(self, values):
        """The destination of what stands in the form."""
        remembered = self._app.state["destinations"].get(self.kind)
        return catalogue.meant(self._catalogue, self.kind, values.get("destination"), remembered)

    def names(self):
        """Of all inputs, from top to bottom."""
        more = [one["name"] for one in self.further]
        return list(model.fields(self.kind)) + ["destination"] + more  # noqa: RUF005 - MicroPython

    def blank(self, values):
        """Nothing that a person wrote."""
        more = any((values.get(one["name"]) or "").strip() for one in self.further)
        return model.blank(values) and not more

    def limits(self):
        return catalogue.limits(self._catalogue, self.kind, self.destination)

    def show_choices(self):
        """Offer what the catalogue offers; a choice already made stays chosen."""
        values, given = self.values(), self._catalogue
        self.destination = self.meant(values)
        fit = catalogue.destinations(given, self.kind)
        pairs = [(one["name"], one.get("title") or one["name"]) for one in fit]
        empty = None if self.destination else "Choose where it belongs"
        shown = view.options(pairs, self.destination, empty)
        dom.show(self.kind + "-destination-choice", shown)
        dom.fill(self.kind, {"destination": self.destination})
        self._asks = len(fit) > 1
        dom.reveal(self.kind + "-destination", self._asks)
        if self.kind == "ticket":
            for field in ("category", "severity"):
                chosen = values.get(field)
                pairs = model.choices(self.kind, field, given, self.destination, chosen)
                dom.show(field, view.options(pairs, chosen, "Not set"))
        self._remember_typed(values)
        facts, known = self._app.state["facts"], model.fields(self.kind)
        self.further = catalogue.further(given, self.kind, self.destination, known, facts)
        self._show_further()
        dom.fill(self.kind, self._typed, only_empty=True)
        self.files.recheck(self.limits())

    def _remember_typed(self, values):
        for one in self.further:
            self._typed[one["name"]] = values.get(one["name"]) or ""

    def _show_further(self):
        dom.show(self.kind + "-further", view.further(self.kind, self.further, self._errors))

    def _fill(self, values, only_empty=False):
        """Put these into the form, the destination first: it decides which fields there are."""
        chosen = values.get("destination")
        if chosen and (not only_empty or self.blank(self.values())):
            dom.fill(self.kind, {"destination": chosen})
        self._typed.update({name: values[name] for name in values if name != "destination"})
        self.show_choices()
        rest = {name: values[name] for name in values if name != "destination"}
        dom.fill(self.kind, rest, only_empty)

    def _follow(self, values):
        """Another destination was chosen: all that hangs on it follows. False when none was."""
        chosen = values.get("destination") or ""
        if not chosen or chosen == self.destination:
            return False
        self.show_choices()
        self._app.state["destinations"][self.kind] = chosen
        self._app.task(self._remember_choice())
        return True

    async def _remember_choice(self):
        """For the next one, also after a reload."""
        try:
            await self._app.device.tried()
            await self._app.device.save_draft(REMEMBERED, self._app.state["destinations"])
        except DeviceError as error:
            self._app.storage_problem(error)

    def follow_catalogue(self):
        """The gateway said something new: what is wrong now is said at its field."""
        self.show_choices()
        if self._errors:
            self._check(self.values())
        self.show()

    def _check(self, values, filled=False):
        """Say at each field what the destination would refuse; ``filled``: of those only that are
        not empty, while somebody is still choosing."""
        facts = self._app.state["facts"]
        wrong = catalogue.check(self._catalogue, self.kind, values, facts)
        if filled:
            wrong = {name: wrong[name] for name in wrong if (values.get(name) or "").strip()}
        names = self.names()
        self._errors = {name: wrong[name] for name in names if name in wrong}
        for name in model.fields(self.kind) + ("destination",):  # noqa: RUF005 - MicroPython
            text = self._errors.get(name)
            dom.field_error(self.kind, name, text)
            dom.show("{}-{}-error".format(self.kind, name.replace(".", "-")), view.error(text))
        self._show_further()
