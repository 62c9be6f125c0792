"""Prompt assembly: a template with a version, filled once for a context."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import Template
from typing import Any

from cache.errors import CacheKeyError
from cache.key_generator import generate_prompt_key, hash_dict
from cache.workflow.adapters import computes, read_json, write_json


@dataclass(frozen=True, slots=True)
class PromptTemplate:
    """A prompt with ``$name`` places.

    Args:
        name: the template's.
        version: part of the key; change it with the text.
        text: as ``string.Template`` reads it.
    """

    name: str
    version: str
    text: str


class PromptAssembler:
    """Fills a template; the same context gives the same prompt from the cache.

    Args:
        template: what is filled.
        cache: a ``Cache``, a client with ``get_json`` and ``set_json``, or None.

    Example:
        >>> PromptAssembler(PromptTemplate("greeting", "1", "Hello $name")).assemble({"name": "Ada"})
        'Hello Ada'
    """

    def __init__(self, template: PromptTemplate, cache: Any = None) -> None:
        self._template, self._cache = template, cache

    def assemble(self, values: Mapping[str, Any]) -> str:
        """The prompt.

        Args:
            values: text, or lists of messages and texts, which are joined line by line.

        Raises:
            KeyError: a place of the template has no value.
        """
        if self._cache is None:
            return self._fill(values)
        template = self._template
        key = {"template": template.name, "version": template.version, "values": dict(values)}
        try:
            if computes(self._cache):
                # the values themselves are the key: the entry binds all of its digest, not the 64 bits of a hash
                return str(self._cache.get_or_compute("prompt", key, lambda: self._fill(values)))
            return self._through_json(generate_prompt_key(hash_dict(key)), values)
        except CacheKeyError:
            # a value without a stable encoding: filled, not kept
            return self._fill(values)

    def _through_json(self, name: str, values: Mapping[str, Any]) -> str:
        found = read_json(self._cache, name)
        if isinstance(found, dict) and isinstance(found.get("prompt"), str):
            return str(found["prompt"])
        prompt = self._fill(values)
        write_json(self._cache, name, {"prompt": prompt})
        return prompt

    def _fill(self, values: Mapping[str, Any]) -> str:
        return Template(self._template.text).substitute({name: _text(value) for name, value in values.items()})


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{value.get('role', 'note')}: {value.get('content', '')}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "\n".join(_text(item) for item in value)
    return str(value)
