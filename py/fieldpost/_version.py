"""The one version of Fieldpost: wheel, app, gateway, service worker and catalogue read it here."""

__version__ = "0.1.0"
