"""``/docs``: the OpenAPI document as a page that loads nothing: no script, no style sheet, no other host."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "code{background:#8882;padding:0 .2em}table{border-collapse:collapse;width:100%}"
    "td,th{border-bottom:1px solid #8884;text-align:left;vertical-align:top;padding:.2em .6em .2em 0}"
    ":root{color-scheme:light dark}"
)


def page(document: Mapping[str, Any]) -> str:
    """The page of an OpenAPI document."""
    info = document["info"]
    return "\n".join(
        (
            f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(info["title"])}</title>',
            f"<style>{_STYLE}</style>",
            f"<h1>{escape(info['title'])} {escape(info['version'])}</h1><p>{escape(info.get('description', ''))}</p>",
            '<p>The same for programs: <a href="openapi.json">openapi.json</a></p>',
            *_routes(document["paths"]),
            *_schemas(document["components"]["schemas"]),
            "</html>\n",
        )
    )


def _routes(paths: Mapping[str, Any]) -> Iterator[str]:
    for path, operations in paths.items():
        for method, operation in operations.items():
            yield f"<h2><code>{escape(method.upper())} {escape(path)}</code></h2>"
            yield f"<p>{escape(operation.get('description', ''))}</p>"
            parameters = [
                (one["name"], ("required. " if one.get("required") else "") + one.get("description", ""))
                for one in operation.get("parameters", ())
            ]
            yield from _table("parameter", parameters)
            yield from _table("status", [(code, what["description"]) for code, what in operation["responses"].items()])


def _schemas(schemas: Mapping[str, Any]) -> Iterator[str]:
    for name, schema in schemas.items():
        yield f'<h2 id="{escape(name)}">{escape(name)}</h2><p>{escape(schema.get("description", ""))}</p>'
        fields = [(field, said.get("description", "")) for field, said in schema.get("properties", {}).items()]
        yield from _table("field", fields)


def _table(what: str, rows: list[tuple[str, str]]) -> Iterator[str]:
    if rows:
        yield f"<table><tr><th>{what}</th><th>meaning</th></tr>"
        yield from (f"<tr><td><code>{escape(name)}</code></td><td>{escape(said)}</td></tr>" for name, said in rows)
        yield "</table>"
