"""The variables at the top of the dashboards."""

from __future__ import annotations

from collections.abc import Sequence

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.common import DataSourceRef

from dashboards.source import foreign
from dashboards.source.queries import CATEGORY, OTLP
from telemetry import schema
from telemetry.vocabulary import BUILT_IN_CATEGORIES

PROMETHEUS = DataSourceRef(type_val="prometheus", uid="prometheus")
JAEGER = DataSourceRef(type_val="jaeger", uid="jaeger")

REQUESTS = schema.REQUESTS.prometheus
ANY = ".+"
"""What All stands for in a matcher: shorter than the list of all values, and it takes in those that come later."""

BEFORE = ("5m", "15m", "1h", "1d", "7d")

SLOW = ("1ms", "50ms", "100ms", "250ms", "500ms", "1s", "2500ms", "5s")

Variable = build.QueryVariable | build.CustomVariable


def _values(name: str, label: str, query: str) -> build.QueryVariable:
    return (
        build.QueryVariable(name)
        .label(label)
        .datasource(PROMETHEUS)
        .query({"qryType": 1, "query": query, "refId": name})
        .definition(query)
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
        .allow_custom_value(False)
    )


def _many(variable: build.QueryVariable) -> build.QueryVariable:
    chosen = model.VariableOption(selected=True, text=["All"], value=["$__all"])
    return variable.multi(True).include_all(True).all_value(ANY).current(chosen)


def job() -> Variable:
    """Services that push: never the job of the scrapes, or every figure would be there twice."""
    query = f"label_values({REQUESTS}{{{OTLP}}}, job)"
    return _many(_values("job", "Service", query)).description("What service.name says; the road is OTLP.")


def instance() -> Variable:
    """Processes of the chosen services, by their service.instance.id."""
    query = f'label_values({REQUESTS}{{job=~"$job", {OTLP}}}, instance)'
    return _many(_values("instance", "Process", query)).description("One value a process: its service.instance.id.")


def categories() -> Variable:
    """Any number of categories."""
    return _many(_values("category", "Category", _category_query()))


def category() -> Variable:
    """One category."""
    first = BUILT_IN_CATEGORIES[0]
    return _values("category", "Category", _category_query()).current(
        model.VariableOption(selected=True, text=first, value=first)
    )


def _category_query() -> str:
    return f'label_values({REQUESTS}{{job=~"$job", {OTLP}}}, {CATEGORY})'


def before() -> Variable:
    """How far back a hit rate is compared."""
    return _choice("before", "Compare with", BEFORE, "5m").description("The window, and the one before it.")


def service() -> Variable:
    """Whose traces are searched: Jaeger takes one service at a time."""
    query = f'label_values({foreign.SPAN_CALLS}{{job=~"$job", {OTLP}}}, job)'
    return _values("service", "Traces of", query).description("Links and tables of traces search this service.")


def service_of_runs() -> Variable:
    """Likewise, of those that run workflows."""
    named = f'{foreign.SPAN_NAME}="{schema.RUN_SPAN}"'
    query = f'label_values({foreign.SPAN_CALLS}{{job=~"$job", {OTLP}, {named}}}, job)'
    return _values("service", "Traces of", query).description("The table of slow runs searches this service.")


def slower_than() -> Variable:
    """From which duration on a run counts as slow."""
    return _choice("slow", "Slower than", SLOW, "250ms").description("The least duration of a run in the table.")


def alerts(names: Sequence[str]) -> Variable:
    """One alert, by the name of its runbook."""
    return _choice("alert", "Alert", names, names[0]).description("Whose runbook you want; alerts link here with it.")


def _choice(name: str, label: str, values: Sequence[str], first: str) -> build.CustomVariable:
    options = [model.VariableOption(selected=value == first, text=value, value=value) for value in values]
    return (
        build.CustomVariable(name)
        .label(label)
        .values(", ".join(values))
        .options(options)
        .current(model.VariableOption(selected=True, text=first, value=first))
        .allow_custom_value(False)
    )
