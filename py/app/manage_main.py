"""Where the gateway's page starts (static/manage.html): everything else is imported from here."""

from app.manage import Manage

Manage().start()
