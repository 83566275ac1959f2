"""Where the page starts: everything else is imported from here."""

from app.shell import App

App().start()
