"""What the first screen does not need: made, and its modules imported, when first asked for.

The modules lie compiled in the interpreter's own files from the start (tools/pack.py), so this
takes a moment, no network, and happens within the very click that asks.
"""
# ruff: noqa: PLC0415


def outbox(app):
    from app.outbox import Outbox

    return Outbox(app)


def asking(app):
    from app.asking import Asking

    return Asking(app)


def attention(app):
    from app.attention import Attention

    return Attention(app)


def settings(app):
    from app.settings import Settings

    return Settings(app)


def about(app):
    from app.about import About

    return About(app)


def accounts(app):
    from app.accounts import Accounts

    return Accounts(app)


def destinations(app):
    from app.behind import Destinations

    return Destinations(app)


def devices(app):
    from app.behind import Devices

    return Devices(app)


def updates(app):
    from app.updates import Updates

    return Updates(app.cached, app.update_waits, app.hold, app.task)


def system_info(seen):
    """See `facts.system_info`."""
    from app import facts

    return facts.system_info(seen)


def part(make):
    """A property of the app: what ``make`` (one of these) made of it the first time."""
    name = make.__name__

    def get(app):
        if name not in app.made:
            app.made[name] = make(app)
        return app.made[name]

    return property(get)
