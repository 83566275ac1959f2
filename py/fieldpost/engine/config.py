"""What can be set of a queue: presets, environments, a mapping or environment variables. Pure.

Names are dotted (``retry.base_ms``, ``limits.kinds.ticket.items``); a mapping may nest them. Each
wrong value and each unknown name is an error under its own name; what works but should be known is
a warning under its own name.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, get_args

from .duplicates import Duplicates, OutcomeOfDouble
from .errors import ConfigError
from .limits import LIMITS, OPEN_ITEMS_MAX, REQUESTS_MAX, SYNC_EVERY_MS, KindLimit, Limits
from .retention import Retention
from .retry import PRESETS, RetryPolicy

Level = Literal["debug", "info", "warn", "error", "fatal", "off"]
Durability = Literal["full", "normal"]

#: What begins the name of an environment variable; a dot of the name is two underscores there:
#: ``FIELDPOST_QUEUE_LIMITS__KINDS__TICKET__ITEMS=50``.
ENV_PREFIX = "FIELDPOST_QUEUE_"


@dataclass(frozen=True, slots=True)
class LogConfig:
    """``level``: from which on the library's own messages are kept as items of kind ``log``;
    ``debug``: parts that speak at every level, as ``DEBUG=fieldpost:*`` names them; on CPython
    ``file`` gets them too, renamed when it reaches ``file_bytes``, with ``files`` old ones kept."""

    level: Level = "warn"
    debug: tuple[str, ...] = ()
    file: str | None = None
    file_bytes: int = 10 * 1024 * 1024
    files: int = 7


@dataclass(frozen=True, slots=True)
class QueueConfig:
    """Made by `QueueConfig.of`, `from_mapping` or `from_env`."""

    preset: str = "default"
    environment: str = "production"
    retry: RetryPolicy = PRESETS["itsm"]
    limits: Limits = LIMITS["default"]
    duplicates: Duplicates = field(default_factory=Duplicates)
    retention: Retention = field(default_factory=Retention)
    logging: LogConfig = field(default_factory=LogConfig)
    sync_every_ms: int = SYNC_EVERY_MS
    #: Requests that all lanes together may have under way.
    requests: int = 8
    durability: Durability = "full"

    @classmethod
    def of(cls, preset: str = "default", environment: str = "production") -> QueueConfig:
        """A preset in an environment. Raises `ConfigError`."""
        return cls.from_mapping({"preset": preset, "environment": environment})

    @classmethod
    def from_mapping(cls, given: Mapping[str, Any]) -> QueueConfig:
        """Defaults, then the preset, then the environment, then what else is given.

        Raises `ConfigError`, whose ``fields`` hold every name that is wrong, and why.
        """
        wrong: dict[str, str] = {}
        values = dict(_flat(given))
        base = cls()
        for name, known in (("preset", PRESET_CONFIGS), ("environment", ENVIRONMENTS)):
            chosen = values.pop(name, getattr(base, name))
            if chosen in known:
                base = replace(known[chosen](base), **{name: chosen})
            else:
                wrong[name] = f"must be one of {', '.join(known)}"
        made = base.as_mapping()
        for name, value in values.items():
            parse = _parser(name)
            if parse is None:
                wrong[name] = _unknown(name, made)
                continue
            try:
                made[name] = parse(value)
            except (TypeError, ValueError) as error:
                wrong[name] = str(error)
        if not wrong:
            config = _build(made, wrong)
            if config is not None:
                return config
        raise ConfigError(fields=wrong)

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> QueueConfig:
        """From the variables that begin with `ENV_PREFIX`, and ``DEBUG`` (A59). Raises
        `ConfigError`."""
        given: dict[str, Any] = {
            name.removeprefix(ENV_PREFIX).lower().replace("__", "."): value
            for name, value in environ.items()
            if name.startswith(ENV_PREFIX)
        }
        debug = [name for name in re.split(r"[\s,]+", environ.get("DEBUG", "")) if name]
        mine = [name for name in debug if name.split(":")[0] in ("fieldpost", "*")]
        if mine:
            given.setdefault("logging.debug", mine)
        return cls.from_mapping(given)

    def as_mapping(self) -> dict[str, Any]:
        """Every setting under its dotted name; `from_mapping` makes the same of it."""
        values: dict[str, Any] = {}
        for part in fields(self):
            value = getattr(self, part.name)
            values |= _mapping_of(part.name, value) if part.name in _PARTS else {part.name: value}
        return values

    @property
    def warnings(self) -> dict[str, str]:
        """Name -> what to know of its value; empty when there is nothing to say."""
        found: dict[str, str] = {}
        if self.durability == "normal":
            found["durability"] = "a power cut can take what was saved in the last moments"
        if self.limits.items > OPEN_ITEMS_MAX:
            found["limits.items"] = f"more than {OPEN_ITEMS_MAX:,} waiting items are not tested"
        if self.retry.max_attempts == 1:
            found["retry.max_attempts"] = "nothing is tried a second time by itself"
        if self.sync_every_ms < 1_000:
            found["sync_every_ms"] = "asks the server more often than once a second"
        if self.duplicates.window_ms > 24 * 3600 * 1000:
            found["duplicates.window_ms"] = "what is said again a day later is taken for a double"
        if self.environment == "production" and (
            self.logging.debug or self.logging.level == "debug"
        ):
            found["logging.debug"] = "every step is logged, which takes storage and time"
        return found


def as_config(given: QueueConfig | Mapping[str, Any] | None) -> QueueConfig:
    """What a host is given, as a configuration. Raises `ConfigError`."""
    return given if isinstance(given, QueueConfig) else QueueConfig.from_mapping(given or {})


# --- presets and environments ---------------------------------------------------------------------

Change = Callable[[QueueConfig], QueueConfig]


def _preset(name: str) -> Change:
    policy = PRESETS["itsm" if name == "default" else name]
    return lambda config: replace(config, retry=policy, limits=LIMITS[name])


#: Evidence is unique by the bundle's own key, never by a window: two equal checks are two proofs.
PRESET_CONFIGS: dict[str, Change] = {
    **{name: _preset(name) for name in LIMITS},
    "evidence": lambda config: replace(
        _preset("evidence")(config), duplicates=Duplicates("error", 0), durability="full"
    ),
}
ENVIRONMENTS: dict[str, Change] = {
    "production": lambda config: config,
    "development": lambda config: replace(
        config, logging=replace(config.logging, level="debug"), durability="normal"
    ),
    # Chance and the clock are the test's: no jitter, nothing taken for a double, no log of its own.
    "test": lambda config: replace(
        config,
        retry=replace(config.retry, jitter_ms=0, jitter_ratio=0.0),
        duplicates=Duplicates("allow", 0),
        logging=replace(config.logging, level="off"),
        durability="normal",
    ),
}


# --- names and values -----------------------------------------------------------------------------

_PARTS: dict[str, type[Any]] = {
    "retry": RetryPolicy,
    "limits": Limits,
    "duplicates": Duplicates,
    "retention": Retention,
    "logging": LogConfig,
}


def _flat(given: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in given.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def _mapping_of(part: str, value: Any) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for each in fields(value):
        if each.name != "kinds":
            values[f"{part}.{each.name}"] = getattr(value, each.name)
            continue
        for kind, of_kind in value.kinds.items():
            if isinstance(of_kind, KindLimit):
                for one in fields(of_kind):
                    values[f"{part}.kinds.{kind}.{one.name}"] = getattr(of_kind, one.name)
            else:
                values[f"{part}.kinds.{kind}"] = of_kind
    return values


def _integer(value: Any) -> int:
    if isinstance(value, str) and re.fullmatch(r"-?\d+", value.strip()):
        return int(value)
    if type(value) is int:
        return value
    raise ValueError("must be a whole number")


def _number(value: Any) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    try:
        return float(str(value))
    except ValueError:
        raise ValueError("must be a number") from None


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word in ("1", "true", "yes", "on"):
        return True
    if word in ("0", "false", "no", "off"):
        return False
    raise ValueError("must be yes or no")


def _words(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return tuple(word for word in re.split(r"[\s,]+", value) if word)
    if isinstance(value, list | tuple) and all(isinstance(word, str) for word in value):
        return tuple(value)
    raise ValueError("must be a list of names")


def _text(value: Any) -> str:
    if isinstance(value, str) and value.strip():
        return value
    raise ValueError("must be text")


def _optional(parse: Callable[[Any], Any]) -> Callable[[Any], Any]:
    none = (None, "", "none")
    return lambda value: None if value in none else parse(value)


def _one_of(*allowed: str) -> Callable[[Any], str]:
    def parse(value: Any) -> str:
        if value in allowed:
            return str(value)
        raise ValueError(f"must be one of {', '.join(allowed)}")

    return parse


_BY_TYPE = {
    "int": _integer,
    "float": _number,
    "bool": _boolean,
    "str": _text,
    "int | None": _optional(_integer),
    "float | None": _optional(_number),
    "str | None": _optional(_text),
}
_OUTCOME = _one_of(*get_args(OutcomeOfDouble))
_PARSERS: dict[str, Callable[[Any], Any]] = {
    # A policy has numbers only, all of them for this table's taking.
    **{f"retry.{each.name}": _BY_TYPE[str(each.type)] for each in fields(RetryPolicy)},
    "limits.items": _integer,
    "limits.bytes": _optional(_integer),
    "limits.warn_at": _number,
    "duplicates.outcome": _OUTCOME,
    "duplicates.window_ms": _integer,
    "retention.completed_ms": _optional(_integer),
    "retention.failed_ms": _optional(_integer),
    "retention.unsent": _words,
    "logging.level": _one_of(*get_args(Level)),
    "logging.debug": _words,
    "logging.file": _optional(_text),
    "logging.file_bytes": _integer,
    "logging.files": _integer,
    "sync_every_ms": _integer,
    "requests": _integer,
    "durability": _one_of(*get_args(Durability)),
}
_KIND = r"[a-z][a-z0-9_.:-]{0,63}"
_BY_KIND: tuple[tuple[str, Callable[[Any], Any]], ...] = (
    (rf"limits\.kinds\.{_KIND}\.(items|bytes)", _optional(_integer)),
    (rf"limits\.kinds\.{_KIND}\.ring", _boolean),
    (rf"duplicates\.kinds\.{_KIND}", _OUTCOME),
    (rf"retention\.kinds\.{_KIND}", _optional(_integer)),
)


def _parser(name: str) -> Callable[[Any], Any] | None:
    by_kind = (parse for pattern, parse in _BY_KIND if re.fullmatch(pattern, name))
    return _PARSERS.get(name) or next(by_kind, None)


def _unknown(name: str, known: Mapping[str, Any]) -> str:
    names = [*known, *_PARSERS]
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return f"is not known; did you mean {near[0]}?" if near else "is not known"


def _build(values: Mapping[str, Any], wrong: dict[str, str]) -> QueueConfig | None:
    """The configuration of all settings, or None with what is wrong of the parts."""
    made: dict[str, Any] = {name: value for name, value in values.items() if "." not in name}
    for part, cls in _PARTS.items():
        plain: dict[str, Any] = {}
        kinds: dict[str, Any] = {}
        for name, value in values.items():
            first, _, rest = name.partition(".")
            if first != part:
                continue
            if not rest.startswith("kinds."):
                plain[rest] = value
            elif part == "limits":
                kind, _, last = rest.removeprefix("kinds.").rpartition(".")
                kinds.setdefault(kind, {})[last] = value
            else:
                kinds[rest.removeprefix("kinds.")] = value
        try:
            if part == "limits":
                kinds = {kind: KindLimit(**of_kind) for kind, of_kind in kinds.items()}
            made[part] = cls(**plain, kinds=kinds) if "kinds" in cls.__slots__ else cls(**plain)
        except ValueError as error:
            wrong[part] = str(error)
    if made["sync_every_ms"] < 100:
        wrong["sync_every_ms"] = "must be at least 100"
    if not 1 <= made["requests"] <= REQUESTS_MAX:
        wrong["requests"] = f"must be 1 to {REQUESTS_MAX}"
    return None if wrong else QueueConfig(**made)
