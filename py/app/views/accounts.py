"""Who is signed in at a destination that this device delivers to by itself. Pure."""

from app import words
from app.element import button, h


def told(state, name):
    """What is known of the account at this destination, None where nobody signs in."""
    return (state.get("accounts") or {}).get(name)


def account(one, waiting):
    """Who is signed in, or that somebody has to, and the button for it."""
    name, title = one["name"], one["title"]
    props = {"key": "sign", "data-lane": name}
    if one["signed_in"]:
        who = h("strong", {}, one["as"])
        props["class"] = "small quiet"
        said = h("p", {"key": "who", "class": "state good"}, "Signed in as ", who, ".")
        return [said, None, button("Sign out", "account-out", props, "undo")]
    text = "You are not signed in."
    if one.get("as"):
        text = "Signed out; last signed in as {}.".format(one["as"])
    more = "What you save for it waits on this device until you sign in."
    if waiting:
        number = words.count(waiting, "item waits", "items wait")
        more = f"{number} on this device until you sign in."
    if one.get("why"):
        more = "{} ended the sign-in ({}). {}".format(title, one["why"].rstrip("."), more)
    said = h("p", {"key": "who", "class": "state warn"}, text)
    props["class"] = "primary"
    return [
        said,
        h("p", {"key": "more", "class": "meta"}, more),
        button("Sign in to " + title, "account-in", props, "send"),
    ]
