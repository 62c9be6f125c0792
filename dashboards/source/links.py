"""Ways out of a dashboard: to the others, to the traces of what a panel shows, to the runbooks.

Only the variables that both ends know are handed on, and the time always is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import quote

JAEGER_UI = "http://localhost:16686"
"""Where the stack publishes Jaeger's own pages."""

TIME = "${__url_time_range}"


@dataclass(frozen=True, slots=True)
class Place:
    """A dashboard as others link to it.

    Args:
        variables: those that it takes over.
    """

    uid: str
    title: str
    variables: tuple[str, ...] = ("job", "instance")


OVERVIEW = Place("glasscache-overview", "Cache overview")
CATEGORY = Place("glasscache-category", "One category")
RUNS = Place("glasscache-runs", "Workflow runs")
STORE = Place("glasscache-store", "Store")
TELEMETRY = Place("glasscache-telemetry", "Telemetry itself")
RUNBOOKS = Place("glasscache-runbooks", "Runbooks", ())

PLACES = (OVERVIEW, CATEGORY, RUNS, STORE, TELEMETRY, RUNBOOKS)


def between(here: Place, there: Place) -> str:
    """The URL from one dashboard to another, with the variables that both have; the time is added by Grafana."""
    handed = [f"${{{name}:queryparam}}" for name in there.variables if name in here.variables]
    return f"/d/{there.uid}" + ("?" + "&".join(handed) if handed else "")


@dataclass(frozen=True, slots=True)
class Link:
    """A link on a panel or on its values."""

    title: str
    url: str
    new_tab: bool = False

    def as_json(self) -> dict[str, object]:
        """As Grafana writes it."""
        return {"targetBlank": self.new_tab, "title": self.title, "url": self.url}


def runbook(alert: str) -> Link:
    """To an alert's page."""
    return Link(f"Runbook {alert}", f"/d/{RUNBOOKS.uid}?var-alert={alert}")


def to(place: Place, here: Place = OVERVIEW) -> Link:
    """To another dashboard, at the same time."""
    url = between(here, place)
    return Link(place.title, url + ("&" if "?" in url else "?") + TIME)


def to_category(value: str) -> Link:
    """To one category's dashboard; ``value`` is the template that names it."""
    url = f"/d/{CATEGORY.uid}?var-category={value}&${{job:queryparam}}&${{instance:queryparam}}&{TIME}"
    return Link("This category", url)


def traces(title: str, *, operation: str = "", tags: Mapping[str, str] | None = None) -> Link:
    """To Jaeger's traces in Explore, at the same time, of the service that the variable ``service`` names.

    Args:
        operation: name of a span; empty for any.
        tags: attributes that a span must have; a value may be a template.
    """
    query: dict[str, object] = {
        "refId": "A",
        "datasource": {"type": "jaeger", "uid": "jaeger"},
        "queryType": "search",
        "service": "${service}",
        "limit": 20,
    }
    if operation:
        query["operation"] = operation
    if tags:
        query["tags"] = " ".join(f"{key}={value}" for key, value in tags.items())
    pane = {"datasource": "jaeger", "queries": [query], "range": {"from": "${__from}", "to": "${__to}"}}
    text = json.dumps({"a": pane}, separators=(",", ":"))
    return Link(title, "/explore?schemaVersion=1&orgId=1&panes=" + _encoded(text), new_tab=True)


def _encoded(text: str) -> str:
    """Percent-encoded, but for the templates, which Grafana fills in."""
    parts = text.split("${")
    out = [quote(parts[0], safe="")]
    for part in parts[1:]:
        name, _, rest = part.partition("}")
        out.append("${" + name + "}" + quote(rest, safe=""))
    return "".join(out)


def all_from(here: Place) -> Iterable[tuple[Place, str]]:
    """Every other dashboard with its URL from here."""
    return [(place, between(here, place)) for place in PLACES if place is not here]
