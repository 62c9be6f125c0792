"""The stack of ``docker-compose.yml``, started as it is under a project name and on ports of its own."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

ROOT = Path(__file__).resolve().parent.parent.parent
GRAFANA = "grafana"
PORTS = ("APP_PORT", "PROMETHEUS_PORT", "JAEGER_PORT", "GRAFANA_PORT")


def run(*command: str, seconds: float = 120, env: dict[str, str] | None = None) -> str:
    """Run a program over the project; its output. What went wrong is in the assertion."""
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=seconds, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def until(question: Callable[[], T], seconds: float, what: str) -> T:
    """Ask each half second until the answer is true; that answer."""
    give_up = time.monotonic() + seconds
    while not (answer := question()):
        assert time.monotonic() < give_up, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.5)
    return answer


def need_engine() -> None:
    """Fail, with what to do, where there is no engine.

    Raises:
        RuntimeError: no Docker, or no compose.
    """
    for words in (["docker", "info"], ["docker", "compose", "version"]):
        asked = shutil.which("docker") and subprocess.run(words, capture_output=True, check=False).returncode == 0
        if not asked:
            raise RuntimeError(f"'{' '.join(words)}' does not work: these tests need Docker with compose, running")


@dataclass
class Stack:
    """One project of compose.

    Args:
        project: name of containers, networks and volumes.
        environment: variables of the compose file beside the ports.
        services: what is started; Grafana is left out where its image cannot be had.
        replicas: how many containers ``app`` and ``traffic`` have each; the API of the first is asked.
        override: a compose file that changes the one of the project.
    """

    project: str
    environment: dict[str, str] = field(default_factory=dict)
    services: tuple[str, ...] = ("app", "traffic", "redis", "otel-collector", "prometheus", "jaeger")
    replicas: int = 1
    override: str = ""

    def __post_init__(self) -> None:
        self.ports = [_free_range(self.replicas), *_free_ports(len(PORTS) - 1)]
        own = dict(zip(PORTS, map(str, self.ports), strict=True)) | self.environment
        if self.replicas > 1:
            own["APP_PORT"] = f"{self.ports[0]}-{self.ports[0] + self.replicas - 1}"
        if self.override:
            own["COMPOSE_FILE"] = os.pathsep.join((str(ROOT / "docker-compose.yml"), str(ROOT / self.override)))
        self._env = {**os.environ, **own, "COMPOSE_PROJECT_NAME": self.project, "COMPOSE_PROFILES": "demo"}

    def compose(self, *arguments: str, seconds: float = 120) -> str:
        """``docker compose`` with these arguments; its output."""
        return run("docker", "compose", *arguments, seconds=seconds, env=self._env)

    def up(self, *options: str) -> float:
        """Start everything and wait for every health check; seconds that it took."""
        began = time.monotonic()
        scale = [f"--scale={name}={self.replicas}" for name in ("app", "traffic") if name in self.services]
        try:
            self.compose("up", "--detach", "--no-build", "--wait", *scale, *options, *self.services, seconds=300)
        except AssertionError as error:
            raise AssertionError(
                f"{error}\n{self.compose('ps', '--all')}\n{self.compose('logs', '--tail', '5')}"
            ) from None
        return time.monotonic() - began

    def down(self) -> None:
        """Stop everything and delete its data."""
        self.compose("down", "--volumes", "--remove-orphans", "--timeout", "5")

    def stop(self, service: str) -> float:
        """Stop a service; the moment at which it was gone."""
        self.compose("stop", "--timeout", "5", service)
        return time.time()

    def start(self, service: str) -> float:
        """Start it again; the moment before."""
        moment = time.time()
        self.compose("start", service)
        return moment

    def left(self) -> list[str]:
        """Containers, volumes and networks of the project that are still there."""
        label = f"label=com.docker.compose.project={self.project}"
        kinds = (("ps", "--all", "--quiet"), ("volume", "ls", "--quiet"), ("network", "ls", "--quiet"))
        return [name for kind in kinds for name in run("docker", *kind, "--filter", label).split()]

    def containers(self, *services: str) -> list[dict[str, Any]]:
        """What ``docker inspect`` says of the running containers."""
        names = self.compose("ps", "--quiet", *services).split()
        return json.loads(run("docker", "inspect", *names)) if names else []

    def inside(self, service: str, program: str, *arguments: str) -> subprocess.Popen[str]:
        """A Python program that runs in a container beside what runs there."""
        command = ["docker", "compose", "exec", "--no-TTY", service, "python", "-", *arguments]
        process = subprocess.Popen(
            command, cwd=ROOT, env=self._env, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )  # fmt: skip
        assert process.stdin
        process.stdin.write(program)
        process.stdin.close()
        process.stdin = None  # so that nothing tries to flush it again
        return process

    def redis(self, *words: str, user: str = "", password: str = "any") -> str:
        """What ``redis-cli`` prints inside the container, refusals included."""
        login = ("--user", user, "--pass", password, "--no-auth-warning") if user else ()
        return self.compose("exec", "--no-TTY", "redis", "redis-cli", *login, *words)

    def info(self, section: str) -> dict[str, str]:
        """Fields of the store's INFO, read as the Collector does."""
        text = self.redis("info", section, user="monitor")
        return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)

    def app(self, path: str) -> Any:
        """JSON of the API."""
        return _json(f"http://127.0.0.1:{self.ports[0]}{path}")

    def prometheus(self, path: str, **query: str | float) -> Any:
        """``data`` of an answer of Prometheus's API."""
        text = urllib.parse.urlencode(query)
        return _json(f"http://127.0.0.1:{self.ports[1]}/api/v1/{path}?{text}")["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series that an instant query returns."""
        return list(self.prometheus("query", query=expression)["result"])

    def value(self, expression: str) -> float:
        """The one figure of a query; 0 where there is none."""
        found = self.query(expression)
        return float(found[0]["value"][1]) if found else 0.0

    def exemplars(self, metric: str, seconds: float) -> list[dict[str, Any]]:
        """The exemplars of a metric's series in the last seconds."""
        now = time.time()
        found = self.prometheus("query_exemplars", query=metric, start=now - seconds, end=now)
        return [exemplar for series in found for exemplar in series["exemplars"]]

    def trace(self, trace_id: str) -> list[dict[str, Any]]:
        """The spans that Jaeger has of a trace; none when it has not."""
        try:
            found = _json(f"http://127.0.0.1:{self.ports[2]}/api/traces/{trace_id}")["data"]
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
            return []
        return list(found[0]["spans"]) if found else []

    def traces(self, service: str, start: float, end: float, **more: str) -> list[dict[str, Any]]:
        """At most 1500 traces of a service that began between two moments, seconds since 1970."""
        query = {"service": service, "start": int(start * 1e6), "end": int(end * 1e6), "limit": 1500, **more}
        found = _json(f"http://127.0.0.1:{self.ports[2]}/api/traces?{urllib.parse.urlencode(query)}")["data"]
        return list(found or ())


def has_grafana() -> bool:
    """True where Grafana's image is there or can be had within a minute."""
    image = json.loads(run("docker", "compose", "config", "--format", "json"))["services"][GRAFANA]["image"]
    asked: Sequence[Sequence[str]] = (("image", "inspect", image), ("pull", "--quiet", image))
    try:
        return any(
            subprocess.run(["docker", *words], capture_output=True, timeout=60).returncode == 0 for words in asked
        )
    except subprocess.TimeoutExpired:
        return False


def _free_ports(count: int) -> list[int]:
    with ExitStack() as held:
        sockets = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [one.getsockname()[1] for one in sockets]


def _free_range(count: int) -> int:
    """The first of ``count`` free ports in a row."""
    while True:
        (first,) = _free_ports(1)
        with ExitStack() as held, suppress(OSError, OverflowError):
            for port in range(first, first + count):
                held.enter_context(socket.create_server(("127.0.0.1", port)))
            return first


def _json(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)
