"""Passages of text and the ones that are nearest to a question."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a file.

    Args:
        path: the file.
        line: its first line, from 1.
        text: whole lines.
    """

    path: str
    line: int
    text: str


def split(path: str, text: str, size: int = 800) -> list[Passage]:
    """Cut a text at line ends into passages of about ``size`` characters; the same text gives the same ones.

    A change of one line changes the passages from there to the next blank line, not the whole file.
    """
    passages: list[Passage] = []
    begin, held = 1, ""
    for number, line in enumerate(text.splitlines(keepends=True), 1):
        if (held and len(held) + len(line) > size) or (len(held) > size // 2 and not line.strip()):
            passages.append(Passage(path, begin, held))
            begin, held = number, ""
        held += line[:size]
    if held.strip():
        passages.append(Passage(path, begin, held))
    return [passage for passage in passages if passage.text.strip()]


def nearest(question: Any, passages: Sequence[Any], count: int) -> list[int]:
    """Indexes of the ``count`` passages nearest to a question, best first, by cosine.

    Args:
        question: float32, shape (dim,).
        passages: vectors of the same shape.
    """
    if not passages:
        return []
    matrix = numpy.asarray(passages, dtype="float32")
    vector = numpy.asarray(question, dtype="float32")
    norms = numpy.linalg.norm(matrix, axis=1) * numpy.linalg.norm(vector)
    scores = matrix @ vector / numpy.where(norms == 0, 1, norms)
    return [int(i) for i in numpy.argsort(-scores, kind="stable")[:count]]
