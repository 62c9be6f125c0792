"""Logs: once per change of state, joined to their trace, and nothing raw in them."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest
from opentelemetry import trace

from telemetry.logs import FIELDS, JSONFormatter, StateLog, TraceFilter, configure_logging
from telemetry.testing import capture


@pytest.fixture
def lines() -> Iterator[tuple[logging.Logger, io.StringIO]]:
    """A logger of our format, and what it wrote."""
    logger, written = logging.Logger("glasscache.test"), io.StringIO()
    handler = logging.StreamHandler(written)
    handler.addFilter(TraceFilter())
    handler.setFormatter(JSONFormatter())
    logger.addHandler(handler)
    yield logger, written
    handler.close()


def read(written: io.StringIO) -> list[dict[str, str]]:
    return [json.loads(line) for line in written.getvalue().splitlines()]


def test_a_state_is_logged_when_it_changes(lines: tuple[logging.Logger, io.StringIO]) -> None:
    """A repeated state is silent; trouble warns and its end informs."""
    logger, written = lines
    log = StateLog(logger)
    states = ["closed", "open", "open", "open", "closed", "closed"]
    assert [log.changed("breaker", state, store="redis") for state in states] == [
        False, True, False, False, True, False,
    ]  # fmt: skip
    assert [(line["level"], line["message"], line["store"]) for line in read(written)] == [
        ("WARNING", "breaker is open", "redis"),
        ("INFO", "breaker is closed", "redis"),
    ]


def test_stores_have_states_of_their_own(lines: tuple[logging.Logger, io.StringIO]) -> None:
    """One store's trouble does not hide another's."""
    log = StateLog(lines[0])
    assert log.changed("breaker", "open", store="a") and log.changed("breaker", "open", store="b")


def test_a_line_names_its_trace(lines: tuple[logging.Logger, io.StringIO]) -> None:
    """Inside a span a line carries its ids in W3C form; outside they are empty."""
    logger, written = lines
    with trace.get_tracer("t", tracer_provider=capture().tracer_provider).start_as_current_span("s"):
        logger.warning("inside %s", 1, extra={FIELDS: {"digest": "0123456789abcdef"}})
    logger.warning("outside")
    inside, outside = read(written)
    assert (inside["trace_id"], inside["span_id"]) == ("0" * 31 + "1", "0" * 15 + "1")
    assert (inside["message"], inside["digest"], inside["logger"]) == (
        "inside 1",
        "0123456789abcdef",
        "glasscache.test",
    )
    assert (outside["trace_id"], outside["span_id"]) == ("", "")
    assert inside["time"].endswith("+00:00")


def test_an_exceptions_text_is_no_part_of_the_line(lines: tuple[logging.Logger, io.StringIO]) -> None:
    """A message of an exception may hold a key: the line has the class alone."""
    logger, written = lines
    try:
        raise ValueError("canary")
    except ValueError:
        logger.exception("failed")
    assert "canary" not in written.getvalue()
    assert read(written)[0]["exception"] == "ValueError"


def test_fields_do_not_overwrite_the_line(lines: tuple[logging.Logger, io.StringIO]) -> None:
    """A field called like one of ours loses, and what JSON cannot hold becomes text."""
    logger, written = lines
    logger.warning(
        "m",
        extra={
            FIELDS: {
                "message": "other",
                "what": {
                    1,
                },
            }
        },
    )
    assert (read(written)[0]["message"], read(written)[0]["what"]) == ("m", "{1}")


def test_the_library_is_silent_by_itself() -> None:
    """Without a handler of the application's, a warning of ours is printed nowhere."""
    code = "import logging, telemetry.logs\nlogging.getLogger('glasscache').warning('w')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=_environment())
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("as_json", [False, True])
def test_a_program_logs_to_standard_error(as_json: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """configure_logging sets the root up, in text or in JSON."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers.clear()
    try:
        configure_logging(as_json=as_json, level=logging.DEBUG)
        logging.getLogger("glasscache").debug("said")
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    line = capsys.readouterr().err
    assert (json.loads(line)["message"] == "said") if as_json else ("DEBUG glasscache: said trace_id=" in line)


def _environment() -> dict[str, str]:
    from pathlib import Path

    return {"PYTHONPATH": str(Path(__file__).parents[2])}
