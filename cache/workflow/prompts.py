"""Prompt assembly: a template with a version, filled once for a context."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import Template
from typing import Any

from cache.errors import CacheKeyError
from cache.key_generator import generate_prompt_key, hash_dict
from cache.workflow.adapters import computes, read_json, read_json_async, write_json, write_json_async


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
        template = self._template
        if self._cache is None:
            return _fill(template, values)
        key = _key(template, values)
        try:
            if computes(self._cache):
                return str(self._cache.get_or_compute("prompt", key, lambda: _fill(template, values)))
            return self._through_json(generate_prompt_key(hash_dict(key)), values)
        except CacheKeyError:
            # a value without a stable encoding: filled, not kept
            return _fill(template, values)

    def _through_json(self, name: str, values: Mapping[str, Any]) -> str:
        prompt = _stored(read_json(self._cache, name))
        if prompt is None:
            prompt = _fill(self._template, values)
            write_json(self._cache, name, {"prompt": prompt})
        return prompt


class AsyncPromptAssembler:
    """The twin for ``AsyncCache`` and clients that are awaited."""

    def __init__(self, template: PromptTemplate, cache: Any = None) -> None:
        self._template, self._cache = template, cache

    async def assemble(self, values: Mapping[str, Any]) -> str:
        """As ``PromptAssembler.assemble``."""
        template = self._template
        if self._cache is None:
            return _fill(template, values)
        key = _key(template, values)
        try:
            if computes(self._cache):
                return str(await self._cache.get_or_compute("prompt", key, lambda: _fill(template, values)))
            return await self._through_json(generate_prompt_key(hash_dict(key)), values)
        except CacheKeyError:
            return _fill(template, values)

    async def _through_json(self, name: str, values: Mapping[str, Any]) -> str:
        prompt = _stored(await read_json_async(self._cache, name))
        if prompt is None:
            prompt = _fill(self._template, values)
            await write_json_async(self._cache, name, {"prompt": prompt})
        return prompt


def _key(template: PromptTemplate, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values themselves: the entry binds all of their digest, not the 64 bits of a hash."""
    return {"template": template.name, "version": template.version, "values": dict(values)}


def _stored(found: Any) -> str | None:
    """The prompt in a client's JSON; None for anything else."""
    prompt = found.get("prompt") if isinstance(found, dict) else None
    return prompt if isinstance(prompt, str) else None


def _fill(template: PromptTemplate, values: Mapping[str, Any]) -> str:
    return Template(template.text).substitute({name: _text(value) for name, value in values.items()})


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{value.get('role', 'note')}: {value.get('content', '')}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "\n".join(_text(item) for item in value)
    return str(value)
