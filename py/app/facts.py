"""What the device says about itself, in the words of a ticket. Pure: `dom` asks the browser."""


def system_info(seen):
    """``systemInfo`` of a ticket from the browser's hints, or from its user agent without them."""
    hints = seen.get("hints") or {}
    agent = seen.get("userAgent") or ""
    name, version = _system(agent)
    platform = hints.get("platform") or name
    number = _windows(platform, hints.get("platformVersion") or version)
    info = {
        "osVersion": (platform + " " + number).strip(),
        "architecture": _architecture(hints, agent),
        "deviceName": hints.get("model") or _model(agent) or _browser(agent),
        "browser": _browser(agent),
        "language": seen.get("language") or "",
        "screen": seen.get("screen") or "",
        "timezone": seen.get("timezone") or "",
    }
    return {name: info[name] for name in info if info[name]}


def _system(agent):
    """(name, version) of the operating system from a user agent."""
    if "Android" in agent:
        return ("Android", _number_after(agent, "Android "))
    if "iPhone" in agent or "iPad" in agent:
        return ("iOS", _number_after(agent, " OS ").replace("_", "."))
    if "Windows NT" in agent:
        return ("Windows", _number_after(agent, "Windows NT "))
    if "Mac OS X" in agent:
        return ("macOS", _number_after(agent, "Mac OS X ").replace("_", "."))
    if "CrOS" in agent:
        return ("ChromeOS", "")
    return ("Linux", "") if "Linux" in agent else ("", "")


def _windows(platform, version):
    """Windows says 13 and more for Windows 11, by its maker's own table."""
    if platform != "Windows":
        return version
    major = version.split(".")[0]
    if major.isdigit() and int(major) >= 13:
        return "11"
    return "10" if major.isdigit() and int(major) >= 1 else version


def _architecture(hints, agent):
    named = hints.get("architecture") or ""
    if named:
        wide = hints.get("bitness") == "64"
        return {"x86": "x86_64", "arm": "arm64"}.get(named, named) if wide else named
    for word in ("x86_64", "aarch64", "arm64", "Win64", "armv7"):
        if word in agent:
            return word
    return ""


def _model(agent):
    if "iPhone" in agent:
        return "iPhone"
    if "iPad" in agent:
        return "iPad"
    if "Android" not in agent:
        return ""
    inside = agent.split("(", 1)[-1].split(")", 1)[0].split(";")
    model = inside[-1].strip().split(" Build/")[0]
    return "" if model in ("K", "Mobile", "wv") or model.startswith("Android") else model


def _browser(agent):
    for word, name in (
        ("Edg/", "Edge"),
        ("OPR/", "Opera"),
        ("Firefox/", "Firefox"),
        ("Chrome/", "Chrome"),
        ("Version/", "Safari"),
    ):
        if word in agent:
            return name + " " + _number_after(agent, word).split(".")[0]
    return ""


def _number_after(text, word):
    number = ""
    for letter in text.partition(word)[2]:
        if not (letter.isdigit() or letter in "._"):
            break
        number += letter
    return number
