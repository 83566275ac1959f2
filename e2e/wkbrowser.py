#!/usr/bin/python3
"""A WebKitGTK browser that can be driven and keeps its data, for the system's Python (its `gi`).

WebKitWebDriver starts it in place of MiniBrowser, whose automation sessions keep nothing. Its data
lie under ``WK_DATA``; ``WK_FEATURES`` names engine features to switch on (A,B).
"""

import os
import signal

import gi

gi.require_version("Gtk", "3.0")
gi.require_version("WebKit2", "4.1")
from gi.repository import GLib, Gtk, WebKit2  # noqa: E402 (only after the versions are chosen)


def settings() -> WebKit2.Settings:
    made = WebKit2.Settings()
    wanted = set(os.environ.get("WK_FEATURES", "").split(","))
    known = WebKit2.Settings.get_all_features()
    for feature in (known.get(i) for i in range(known.get_length())):
        if feature.get_identifier() in wanted:
            made.set_feature_enabled(feature, True)
    return made


def view(*_args: object) -> WebKit2.WebView:
    made = WebKit2.WebView(
        web_context=context, is_controlled_by_automation=True, settings=settings()
    )
    window = Gtk.Window()
    window.set_default_size(1280, 800)
    window.add(made)
    window.show_all()
    made.connect("close", lambda *_: window.destroy())
    return made


def started(_context: WebKit2.WebContext, session: WebKit2.AutomationSession) -> None:
    info = WebKit2.ApplicationInfo()
    info.set_name("MiniBrowser")  # what selenium's capabilities ask for
    info.set_version(
        WebKit2.get_major_version(), WebKit2.get_minor_version(), WebKit2.get_micro_version()
    )
    session.set_application_info(info)
    session.connect("create-web-view", view)


data = os.environ["WK_DATA"]
manager = WebKit2.WebsiteDataManager(
    base_data_directory=data + "/data", base_cache_directory=data + "/cache"
)
context = WebKit2.WebContext.new_with_website_data_manager(manager)
context.set_automation_allowed(True)
context.connect("automation-started", started)
GLib.unix_signal_add(GLib.PRIORITY_DEFAULT, signal.SIGTERM, Gtk.main_quit)
Gtk.main()
