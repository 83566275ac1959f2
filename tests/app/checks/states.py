"""What the views are given in the checks: an app that is up, online and empty."""

from app import model

NOW = 1700000000000


def app_state(changes=None):
    """As `app.shell.App.state`, with ``changes`` in place of what stands there."""
    made = {
        "now": NOW,
        "online": True,
        "engine": "up",
        "engine_error": "",
        "storage_error": None,
        "status": {"connection": "online", "waiting": 0, "attention": 0},
        "counts": None,
        "offline_ready": False,
        "storage": {},
        "held": {},
        "settings": None,
        "catalogue": None,
        "outbox": model.new_box("waiting"),
        "attention": model.new_box("attention"),
    }
    made["outbox"]["rows"] = []
    made["attention"].update({"rows": [], "told": None, "chosen": []})
    made.update(changes or {})
    return made
