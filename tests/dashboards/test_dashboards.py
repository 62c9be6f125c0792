"""The dashboards as files: fresh, complete, and with no name in them that the schema or ``foreign`` does not have."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from dashboards.source import __main__ as program
from dashboards.source import catalogue, colours, foreign, layout, links, panels, queries, runbooks
from dashboards.source.looks import Look
from telemetry import schema, series, vocabulary
from telemetry.schema import Kind, Metric, prometheus_label

FILES = catalogue.files()
DASHBOARDS: dict[str, dict[str, Any]] = {name: json.loads(text) for name, text in FILES.items()}
PANELS = [(name, panel) for name, content in DASHBOARDS.items() for panel in content["panels"]]
DRAWN = [(name, panel) for name, panel in PANELS if panel["type"] not in ("row", "text", "alertlist")]
ASKED = catalogue.queries()
UIDS = {content["uid"] for content in DASHBOARDS.values()}

OURS: dict[str, Metric] = {
    name + part: metric
    for metric in schema.METRICS
    for name in (metric.prometheus,)
    for part in (("_bucket", "_sum", "_count") if metric.kind is Kind.HISTOGRAM else ("",))
}
THEIRS = {name + part for name in foreign.METRICS for part in ("", "_bucket", "_sum", "_count")}

CATEGORIES = (*vocabulary.BUILT_IN_CATEGORIES, vocabulary.OTHER, vocabulary.GENERAL, vocabulary.ALL)
WORDS: dict[str, set[str]] = {
    prometheus_label(attribute): {
        str(labels[at])
        for metric in schema.METRICS
        if attribute in metric.attributes
        for at in (metric.attributes.index(attribute),)
        for labels in series.label_sets(metric, CATEGORIES)
        if labels[at] is not None
    }
    for metric in schema.METRICS
    for attribute in metric.attributes
}
"""Of each label the words that it can have; empty for one without a closed set."""


def called(case: Any) -> str:
    """A test's name from a panel."""
    return f"{case[0].removesuffix('.json')}: {case[1].get('title')}" if isinstance(case, tuple) else str(case)


def selectors(expr: str) -> list[tuple[str, str]]:
    """Every series selector of a query: the metric's name and what stands in braces."""
    return re.findall(r"\b([a-z][a-z0-9_]*)\{([^{}]*)\}", expr)


def matchers(text: str) -> list[tuple[str, str, str]]:
    """Label, operator and value of each matcher."""
    return re.findall(r'(\w+)(=~|!~|!=|=)"([^"]*)"', text)


def names(expr: str) -> set[str]:
    """Every word of a query that is neither a function, a keyword, a label nor a string: the metrics."""
    bare = re.sub(r'"[^"]*"', "", expr)
    bare = re.sub(r"\b(by|on|ignoring|group_left|without)\s*\([^)]*\)", " ", bare)
    bare = re.sub(r"\{[^{}]*\}|\[[^\]]*\]|\boffset\s+\w+", " ", bare)
    words = set(re.findall(r"[a-z_][a-z0-9_]*(?!\w)(?!\s*\()", bare))
    return words - {"and", "or", "unless", "by", "on", "bool", "offset"}


def test_the_committed_files_are_what_the_source_makes() -> None:
    """Regenerated they are the same, byte for byte, and there is no other file."""
    committed = {path.name: path.read_text(encoding="utf-8") for path in catalogue.FOLDER.glob("*.json")}
    assert committed.keys() == FILES.keys()
    assert [name for name, text in FILES.items() if committed[name] != text] == []


def test_the_program_checks_and_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """``--check`` names what is not fresh; a run writes it and removes what nothing makes any more."""
    monkeypatch.setattr(program, "FOLDER", tmp_path)
    (tmp_path / "old.json").write_text("{}")
    assert program.main(["--check"]) == 1
    assert "glasscache-overview.json" in (said := capsys.readouterr().out)
    assert "old.json" in said
    assert program.main([]) == 0
    assert {path.name for path in tmp_path.iterdir()} == FILES.keys()
    assert program.main(["--check"]) == 0


@pytest.mark.parametrize("name", FILES)
def test_a_dashboard_is_classic_and_says_how_it_is_watched(name: str) -> None:
    """The classic schema 42, the browser's time zone, a refresh each 15 s, the last 30 or 60 minutes."""
    content = DASHBOARDS[name]
    assert content["schemaVersion"] == 42
    assert (content["timezone"], content["refresh"]) == ("browser", "15s")
    assert content["time"]["from"] in ("now-30m", "now-1h")
    assert content["title"]
    assert content["description"]
    assert name == f"{content['uid']}.json"


def test_uids_are_those_that_others_link_to() -> None:
    """Each dashboard has its own, the ones of ``links``."""
    assert sorted(UIDS) == sorted({place.uid for place in links.PLACES})
    assert len(UIDS) == len(DASHBOARDS)


@pytest.mark.parametrize("name", FILES)
def test_ids_of_panels_follow_from_their_titles(name: str) -> None:
    """An id stays when a panel is added before, and no two panels share one."""
    found = {panel["id"]: panel for panel in DASHBOARDS[name]["panels"]}
    assert len(found) == len(DASHBOARDS[name]["panels"])
    for number, panel in found.items():
        assert number == layout.panel_id(("# " if panel["type"] == "row" else "") + panel["title"])


def test_an_id_never_changes() -> None:
    """The way from title to id is part of every link to a panel."""
    assert layout.panel_id("Hit rate") == 192050


@pytest.mark.parametrize("name", FILES)
def test_panels_fill_the_width_and_do_not_overlap(name: str) -> None:
    """Each line of panels is 24 wide; none covers another."""
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARDS[name]["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells
    assert {x for x, _ in taken} == set(range(24))


@pytest.mark.parametrize("case", [case for case in PANELS if case[1]["type"] != "row"], ids=called)
def test_every_panel_says_what_it_shows(case: tuple[str, dict[str, Any]]) -> None:
    """A title that is not cut, and a description with what good looks like and what to do otherwise."""
    _, panel = case
    assert panel["title"]
    widest = 6.0 if panel["gridPos"]["w"] <= 4 else 5.5
    assert len(panel["title"].replace("$before", "15m")) <= panel["gridPos"]["w"] * widest
    if panel["type"] == "text":
        assert panel["description"]
        return
    assert "**Good:**" in panel["description"]
    assert "**If not:**" in panel["description"]


@pytest.mark.parametrize("case", DRAWN, ids=called)
def test_every_panel_has_source_unit_and_a_word_for_nothing(case: tuple[str, dict[str, Any]]) -> None:
    """A data source by its uid, a unit, and a text where there is no value, which is not 0."""
    _, panel = case
    assert panel["datasource"]["uid"] in ("prometheus", "jaeger")
    assert all(target["datasource"] == panel["datasource"] for target in panel["targets"])
    defaults = panel["fieldConfig"]["defaults"]
    assert defaults["unit"]
    assert defaults["noValue"]
    if panel["datasource"]["uid"] == "prometheus":
        (nothing,) = [mapping for mapping in defaults["mappings"] if mapping["type"] == "special"]
        assert nothing["options"]["match"] == "null+nan"
        assert nothing["options"]["result"]["text"] == defaults["noValue"]


@pytest.mark.parametrize("case", [case for case in DRAWN if case[1]["type"] in ("timeseries", "barchart")], ids=called)
def test_every_plot_has_a_legend(case: tuple[str, dict[str, Any]]) -> None:
    """It is shown (the SDK's default is not), and each series has a name of its own."""
    _, panel = case
    assert panel["options"]["legend"]["showLegend"] is True
    if panel["type"] == "timeseries":
        named = [target["legendFormat"] for target in panel["targets"]]
        assert all(named)
        assert len(named) == len(set(named))


@pytest.mark.parametrize(
    "case", [case for case in DRAWN if case[1]["fieldConfig"]["defaults"]["unit"] == "percentunit"], ids=called
)
def test_shares_begin_at_zero(case: tuple[str, dict[str, Any]]) -> None:
    """A share's axis begins at 0, and ends at 1 where it cannot exceed it."""
    _, panel = case
    defaults = panel["fieldConfig"]["defaults"]
    assert defaults["min"] == 0
    assert defaults.get("max") == (None if panel["title"] in ("Share of a run", "Processor") else 1)


@pytest.mark.parametrize("case", DRAWN, ids=called)
def test_histograms_show_exemplars(case: tuple[str, dict[str, Any]]) -> None:
    """A line or heat map of a histogram of durations, sizes or ages has one query with exemplars."""
    _, panel = case
    drawn = [target for target in catalogue.targets(panel) if "_bucket" in target["expr"] and not target.get("instant")]
    if not drawn or panel["type"] == "stat" or foreign.POOL_CREATE_TIME in drawn[0]["expr"]:
        assert not any(target.get("exemplar") for target in catalogue.targets(panel))
        return
    assert any(target["exemplar"] for target in drawn)


@pytest.mark.parametrize("asked", ASKED, ids=lambda asked: f"{asked.dashboard}: {asked.panel}")
def test_every_name_in_a_query_is_known(asked: catalogue.Asked) -> None:
    """Metrics and labels are the schema's or those of ``foreign``, and a label is one that the metric has."""
    for metric in names(asked.expr):
        assert metric in OURS or metric in THEIRS, metric
    for metric, text in selectors(asked.expr):
        for label, _, _ in matchers(text):
            if metric in OURS:
                known = {prometheus_label(attribute) for attribute in OURS[metric].attributes}
                assert label in known | {"job", "instance", foreign.OVERFLOW}, (metric, label)
            else:
                assert label in foreign.LABELS, (metric, label)
    for label in re.findall(r"\bby \(([^)]*)\)", asked.expr):
        for one in filter(None, label.replace(" ", "").split(",")):
            assert one in WORDS or one in foreign.LABELS, one


@pytest.mark.parametrize("asked", ASKED, ids=lambda asked: f"{asked.dashboard}: {asked.panel}")
def test_every_word_in_a_query_is_one_of_the_closed_sets(asked: catalogue.Asked) -> None:
    """What a label is compared with is a member of its set; ``.+`` stands for a variable."""
    for metric, text in selectors(asked.expr):
        for label, _, value in matchers(text):
            if metric in OURS and WORDS.get(label) and value != ".+":
                assert set(value.split("|")) <= WORDS[label] | {""}, (label, value)


@pytest.mark.parametrize("case", DRAWN, ids=called)
def test_windows_are_never_fixed(case: tuple[str, dict[str, Any]]) -> None:
    """A rate is over ``$__rate_interval``, a total over what is shown, a comparison over its variable."""
    for target in catalogue.targets(case[1]):
        for function, window in re.findall(r"(\w+)\([^()]*\[([^\]]+)\]", target["expr"]):
            assert function in ("rate", "increase")
            assert window in ("$__rate_interval", "$__range", "$before")
            assert window != "$__rate_interval" or function == "rate"
        assert "or vector(" not in target["expr"]


@pytest.mark.parametrize("asked", ASKED, ids=lambda asked: f"{asked.dashboard}: {asked.panel}")
def test_nothing_is_counted_by_both_roads(asked: catalogue.Asked) -> None:
    """Every selector of our metrics leaves the scraped road out, but where both are compared."""
    for metric, text in selectors(asked.expr):
        if metric in OURS and asked.panel != "Lookups by both roads":
            assert ("job", "!=", foreign.SCRAPE_JOB) in matchers(text), metric


@pytest.mark.parametrize("asked", ASKED, ids=lambda asked: f"{asked.dashboard}: {asked.panel}")
def test_brackets_are_balanced(asked: catalogue.Asked) -> None:
    """A plain check that needs no Prometheus; ``test_promql.py`` lets promtool parse them."""
    bare = re.sub(r'"[^"]*"', "", asked.expr)
    for opening, closing in ("()", "{}", "[]"):
        assert bare.count(opening) == bare.count(closing)
    assert not re.search(r"\$[a-zA-Z_{]", asked.expr)


@pytest.mark.parametrize("name", FILES)
def test_variables_that_are_used_exist(name: str) -> None:
    """Every variable in a query or a title is one of the dashboard's or of Grafana's own."""
    content = DASHBOARDS[name]
    have = {variable["name"] for variable in content["templating"]["list"]}
    for panel in content["panels"]:
        texts = [panel["title"], *(json.dumps(target) for target in panel.get("targets") or ())]
        texts += [link["url"] for link in every_link(panel)]
        for text in texts:
            for used in re.findall(r"\$\{?([a-zA-Z]\w*)", text):
                assert used in have, (panel["title"], used)


def every_link(value: Any) -> list[dict[str, Any]]:
    """Every link anywhere in a piece of JSON."""
    if isinstance(value, list):
        return [link for item in value for link in every_link(item)]
    if isinstance(value, dict):
        own = [value] if "url" in value and "title" in value else []
        return own + [link for item in value.values() for link in every_link(item)]
    return []


@pytest.mark.parametrize("name", FILES)
def test_links_lead_to_dashboards_that_exist(name: str) -> None:
    """Links are to our dashboards, to Explore, or to Jaeger; variables that they hand on exist at both ends."""
    variables = {content["uid"]: {v["name"] for v in content["templating"]["list"]} for content in DASHBOARDS.values()}
    mine = variables[DASHBOARDS[name]["uid"]]
    for link in every_link(DASHBOARDS[name]):
        path = urlsplit(link["url"])
        if path.path.startswith("/d/"):
            uid = path.path.split("/")[2]
            assert uid in UIDS, link
            handed = set(re.findall(r"\$\{(\w+):queryparam\}", link["url"]))
            assert handed <= mine & variables[uid], link
            given = {key.removeprefix("var-") for key in parse_qs(path.query) if key.startswith("var-")}
            assert given <= variables[uid], link
        else:
            inside = link.get("internal", {}).get("datasourceUid") == "jaeger"
            assert inside or path.path == "/explore" or link["url"].startswith(links.JAEGER_UI), link


def test_every_dashboard_links_to_all_others_and_keeps_the_time() -> None:
    """From each one every other is one click away."""
    for content in DASHBOARDS.values():
        reached = {link["url"].split("/")[2].split("?")[0] for link in content["links"]}
        assert reached == UIDS - {content["uid"]}
        assert all(link["keepTime"] for link in content["links"])


def test_links_to_traces_are_searches_that_jaeger_understands() -> None:
    """The state of Explore in the URL is JSON with a search of one service; its tags are attributes of spans."""
    known = {attribute for span in schema.SPANS for attribute in span.attributes}
    found = [
        link["url"] for content in DASHBOARDS.values() for link in every_link(content) if "/explore" in link["url"]
    ]
    assert len(found) > 15
    for url in found:
        pane = json.loads(unquote(parse_qs(urlsplit(url).query)["panes"][0]))["a"]
        (query,) = pane["queries"]
        assert (pane["datasource"], query["queryType"], query["service"]) == ("jaeger", "search", "${service}")
        for tag in filter(None, query.get("tags", "").split(" ")):
            assert tag.partition("=")[0] in known, tag


def test_a_word_has_one_colour_everywhere() -> None:
    """Outcomes, reasons, categories, errors and the like look the same on every panel and dashboard."""
    tables = (colours.OUTCOMES, colours.REASONS, colours.CATEGORIES, colours.ERRORS, colours.WRITES, colours.TRIGGERS)
    for table in tables:
        words = {str(word) for word in table}
        for _, panel in DRAWN:
            fixed = {
                override["matcher"]["options"]: prop["value"]["fixedColor"]
                for override in panel["fieldConfig"]["overrides"]
                for prop in override["properties"]
                if prop["id"] == "color" and prop["value"]["mode"] == "fixed"
            }
            if words <= fixed.keys():
                assert {word: fixed[word] for word in words} == colours.of(table)


def test_every_closed_set_has_a_colour_for_each_word() -> None:
    """A new outcome, reason, error or trigger does not get a colour by chance, and no two words of a set share one."""
    pairs: list[tuple[Any, Any]] = [
        (colours.OUTCOMES, vocabulary.Outcome),
        (colours.ERRORS, vocabulary.ErrorType),
        (colours.WRITES, vocabulary.WriteResult),
        (colours.EVICTIONS, vocabulary.EvictionCause),
        (colours.TRIGGERS, vocabulary.Trigger),
        (colours.SCOPES, vocabulary.FlightScope),
        (colours.BREAKER, vocabulary.BreakerState),
    ]
    for table, words in pairs:
        assert set(table) == set(words)
        assert len(set(table.values())) == len(table)
    assert set(colours.REASONS) == {*vocabulary.MissReason, colours.NOT_TOLD}
    assert set(colours.CATEGORIES) >= set(CATEGORIES)


def test_a_shelf_that_is_not_full_is_refused() -> None:
    """A gap in a line of panels is a mistake, and so are two panels of one title."""
    panel = panels.page("One", "text", "text")
    for shelf in (layout.Shelf(4, [(12, panel)]), layout.Shelf(4, [(12, panel), (12, panels.page("One", "text", ""))])):
        with pytest.raises(ValueError, match="Store"):
            layout.as_json(layout.Board(links.STORE, "", [], [shelf]))


def test_nothing_is_said_apart_from_zero() -> None:
    """A share whose whole is 0 has no value, and the panel says so in words."""
    assert queries.hit_ratio().count("> 0)") == 1
    assert Look(unit="percentunit").empty == "no traffic"


def test_runbooks_become_panels(tmp_path: Path) -> None:
    """One panel a page, its heading left out, listed with its first paragraph; the variable offers each."""
    (tmp_path / "CacheErrors.md").write_text(
        "# CacheErrors\n\nThe store is in trouble,\nin short.\n\n## Do\n\nSee [Another](Another.md).\n"
    )
    (tmp_path / "Another.md").write_text("Without a heading.\n")
    content = json.loads(layout.as_json(runbooks.board(tmp_path)))
    first, *pages = content["panels"]
    assert [page["title"] for page in pages] == ["Another", "CacheErrors"]
    assert "The store is in trouble, in short." in first["options"]["content"]
    assert f"viewPanel=panel-{pages[1]['id']}" in first["options"]["content"]
    assert pages[1]["options"]["content"].startswith("The store is in trouble")
    assert f"[Another]({runbooks.alone('Another')})" in pages[1]["options"]["content"]
    (variable,) = content["templating"]["list"]
    assert [option["value"] for option in variable["options"]] == ["Another", "CacheErrors"]


def test_without_runbooks_the_dashboard_says_so(tmp_path: Path) -> None:
    """An empty folder, or none, is no fault."""
    for folder in (tmp_path, tmp_path / "none"):
        (panel,) = json.loads(layout.as_json(runbooks.board(folder)))["panels"]
        assert panel["options"]["content"] == "There is no runbook yet."


def test_queries_are_given_with_any_values() -> None:
    """Whoever runs them chooses the windows; all others keep their defaults."""
    exprs = [asked.expr for asked in catalogue.queries({"before": "2m", "__rate_interval": "45s"})]
    assert any("offset 2m" in expr for expr in exprs)
    assert any("[45s]" in expr for expr in exprs)
    assert not any("[1m]" in expr for expr in exprs)


def test_no_foreign_name_is_left_over() -> None:
    """Every name in ``foreign`` is asked for by a query: what nobody asks for, nobody checks."""
    asked = " ".join(one.expr for one in ASKED)
    assert [name for name in sorted(foreign.METRICS) if name not in asked] == []
