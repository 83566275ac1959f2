"""Configuration: presets, environments, names that are wrong and values worth a warning."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldpost.engine.config import ENVIRONMENTS, PRESET_CONFIGS, QueueConfig, as_config
from fieldpost.engine.errors import ConfigError
from fieldpost.engine.limits import LIMITS, KindLimit
from fieldpost.engine.retry import PRESETS

KINDS = st.sampled_from(["ticket", "log", "api-request", "own.kind", "items", "kinds"])
VALUES = st.one_of(
    st.tuples(st.just("retry.base_ms"), st.integers(1, 10**7)),
    st.tuples(st.just("retry.factor"), st.floats(1, 4)),
    st.tuples(st.just("limits.items"), st.integers(1, 10**6)),
    st.tuples(st.just("limits.bytes"), st.none() | st.integers(1, 10**9)),
    st.tuples(KINDS.map("limits.kinds.{}.items".format), st.none() | st.integers(1, 10**6)),
    st.tuples(KINDS.map("limits.kinds.{}.ring".format), st.booleans()),
    st.tuples(st.just("duplicates.window_ms"), st.integers(0, 10**6)),
    st.tuples(
        KINDS.map("duplicates.kinds.{}".format), st.sampled_from(["return", "error", "allow"])
    ),
    st.tuples(KINDS.map("retention.kinds.{}".format), st.none() | st.integers(60_000, 10**12)),
    st.tuples(st.just("retention.unsent"), st.lists(KINDS).map(tuple)),
    st.tuples(st.just("logging.level"), st.sampled_from(["debug", "warn", "off"])),
    st.tuples(st.just("logging.debug"), st.just(("fieldpost:*",))),
    st.tuples(st.just("durability"), st.sampled_from(["full", "normal"])),
)


@given(
    st.sampled_from(list(PRESET_CONFIGS)),
    st.sampled_from(list(ENVIRONMENTS)),
    st.lists(VALUES).map(dict),
)
def test_a_configuration_makes_itself_again(preset: str, where: str, more: dict[str, Any]) -> None:
    config = QueueConfig.from_mapping({"preset": preset, "environment": where, **more})
    flat = config.as_mapping()
    assert QueueConfig.from_mapping(flat) == config
    assert flat.items() >= more.items()
    nested: dict[str, Any] = {}
    for name, value in flat.items():
        first, _, rest = name.partition(".")
        if rest:
            nested.setdefault(first, {})[rest] = value
        else:
            nested[first] = value
    assert QueueConfig.from_mapping(nested) == config


@pytest.mark.parametrize("name", ["itsm", "api", "interactive", "evidence", "browser"])
def test_the_presets_are_those_of_the_documents(name: str) -> None:
    config = QueueConfig.of(name)
    assert (config.retry, config.limits) == (PRESETS[name], LIMITS[name])
    assert config.durability == "full"
    assert config.warnings == {}


def test_itsm_takes_what_its_document_says() -> None:
    """A46-A53: 20 tickets, 100 feedback, 50 MB logs, 5 tries from 30 s on, every 30 s."""
    config = QueueConfig.of("itsm")
    assert config.limits.kinds == {
        "ticket": KindLimit(items=20),
        "feedback": KindLimit(items=100),
        "log": KindLimit(bytes=50 * 1024 * 1024, ring=True),
    }
    retry = config.retry
    assert (retry.max_attempts, retry.base_ms, retry.jitter_ms) == (5, 30_000, 5_000)
    assert config.sync_every_ms == 30_000
    more = QueueConfig.from_mapping({"preset": "itsm", "limits.kinds.ticket.items": 50})  # A56
    assert more.limits.kinds["ticket"].items == 50


def test_environments() -> None:
    test = QueueConfig.of("itsm", "test")
    assert (test.retry.jitter_ms, test.duplicates.outcome, test.logging.level) == (
        0,
        "allow",
        "off",
    )
    assert QueueConfig.of("api", "development").warnings.keys() == {"durability"}
    loud = QueueConfig.from_mapping({"logging.debug": "fieldpost:*", "retry.max_attempts": 1})
    assert loud.warnings.keys() == {"logging.debug", "retry.max_attempts"}


def test_every_wrong_name_and_value_is_an_error_of_its_own() -> None:
    with pytest.raises(ConfigError) as raised:
        QueueConfig.from_mapping(
            {
                "preset": "itms",
                "retry": {"base_ms": "soon", "max_atempts": 3},
                "limits.kinds.ticket.items": True,
                "limits.itmes": 3,
                "durability": "none",
                "zzz": 1,
            }
        )
    assert raised.value.fields == {
        "preset": "must be one of default, itsm, api, interactive, evidence, browser",
        "retry.base_ms": "must be a whole number",
        "retry.max_atempts": "is not known; did you mean retry.max_attempts?",
        "limits.kinds.ticket.items": "must be a whole number",
        "limits.itmes": "is not known; did you mean limits.items?",
        "durability": "must be one of full, normal",
        "zzz": "is not known",
    }
    assert raised.value.code == "QUEUE_CONFIG_ERROR"
    for wrong in ({"retry.factor": 0}, {"limits.items": 0}, {"sync_every_ms": 1}):
        with pytest.raises(ConfigError) as raised:
            QueueConfig.from_mapping(wrong)
        assert len(raised.value.fields) == 1


def test_from_the_environment() -> None:
    environ = {
        "FIELDPOST_QUEUE_PRESET": "itsm",
        "FIELDPOST_QUEUE_LIMITS__KINDS__TICKET__ITEMS": "50",
        "FIELDPOST_QUEUE_LIMITS__KINDS__LOG__RING": "yes",
        "FIELDPOST_QUEUE_RETENTION__COMPLETED_MS": "none",
        "DEBUG": "other:*, fieldpost:*",
        "FIELDPOST_OTHER": "x",
    }
    config = QueueConfig.from_env(environ)
    assert config.limits.kinds["ticket"].items == 50
    assert config.retention.completed_ms is None
    assert config.logging.debug == ("fieldpost:*",)
    with pytest.raises(ConfigError) as raised:
        QueueConfig.from_env({"FIELDPOST_QUEUE_DURABILTY": "full"})
    assert raised.value.fields == {"durabilty": "is not known; did you mean durability?"}
    assert as_config(None) == QueueConfig.from_env({}) == QueueConfig()
