"""The dialog that asks, before something is done that a person should have thought about.

One question at a time, whoever asks it. A question is a dict: ``view(question)`` gives the trees,
``form`` is the id of the form in them, ``do(question, values)`` is awaited when it is submitted;
``said`` is None, "busy", or why it could not be done. What else stands in it is its asker's.
"""

from app import dom
from app.element import flat


class Asking:
    """The element ``#ask``."""

    def __init__(self, app):
        self._app = app
        self._asked = None

    @property
    def asked(self):
        """The question that is open, or None."""
        return self._asked

    def ask(self, question, focus=None):
        """Open the dialog; ``focus``: id of the element to begin with."""
        question["said"] = None
        self._asked = question
        self._app.outbox.closed()  # one dialog at a time
        self.draw(question)
        dom.open_dialog("ask")
        if focus:
            dom.focus(focus)

    def draw(self, question):
        """Show the question as it is now; False when it is not asked any more."""
        if self._asked is not question:
            return False
        dom.show("ask", flat(question["view"](question)))
        return True

    def busy(self, question):
        question["said"] = "busy"
        self.draw(question)

    def refused(self, question, text):
        """It could not be done; the dialog stays, with the reason."""
        question["said"] = text
        self.draw(question)

    async def submit(self):
        """Do what stands in the dialog."""
        question = self._asked
        if question is not None and question["said"] != "busy":
            await question["do"](question, dom.values(question["form"]))

    def done(self, question, text=None, stays=False):
        """It was done. Unless what had the focus before ``stays``, the screen gets it."""
        if self._asked is question:
            self.closed()
            if not stays:
                dom.focus("main")
        if text:
            self._app.notes.add(text, "good")
        self._app.refresh_soon()

    def closed(self):
        self._asked = None
        dom.close_dialog("ask")
        dom.show("ask", [])
