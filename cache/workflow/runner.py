"""The shipped workflow: questions about a folder of text, task by task and turn by turn.

    context -> tools (list, read, search) -> embed -> rank -> prompt

Every node takes the cache that it is handed; with None the same workflow runs uncached.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from cache.workflow.context_builder_node import ContextBuilderNode
from cache.workflow.embeddings import CachedEmbeddings, EmbeddingModel
from cache.workflow.file_tools import file_dispatch, file_registry
from cache.workflow.passages import Passage, nearest, split
from cache.workflow.prompts import PromptAssembler, PromptTemplate
from cache.workflow.sandbox import Sandbox
from cache.workflow.tool_executor import execute_tool_call
from cache.workflow.tools import ToolRequest
from telemetry.runs import node, run

ANSWER = PromptTemplate(
    "answer",
    "1",
    "You answer questions about a folder of files.\n\nConversation:\n$messages\n\nPassages:\n$passages\n\n"
    "Lines that name it:\n$matches\n\nQuestion: $question\n",
)
"""What the demo's prompts are made from."""


@dataclass(frozen=True, slots=True)
class Question:
    """One turn of a task.

    Args:
        word: what is searched for as plain text.
    """

    task_id: str
    turn: int
    text: str
    word: str


QUESTIONS = (
    Question("task-decode", 0, "How is the end of a string found?", "string"),
    Question("task-decode", 1, "What happens when the text is not valid?", "error"),
    Question("task-encode", 0, "Which class turns objects into text?", "class"),
    Question("task-encode", 1, "How are nested containers handled?", "dict"),
    Question("task-usage", 0, "What does the command line do?", "main"),
)
"""Asked of any folder; they fit the default one best."""


@dataclass(slots=True)
class Answer:
    """What a turn gave: the prompt and where its passages come from; what it cost."""

    question: Question
    prompt: str
    passages: list[str]
    seconds: float
    hits: int = 0
    misses: int = 0
    time_saved_s: float = 0.0


@dataclass(slots=True)
class Conversation:
    """The messages of each task: what the context is built from."""

    messages: dict[str, list[dict[str, str]]] = field(default_factory=dict)

    def add(self, task_id: str, text: str) -> None:
        """A message of the user."""
        self.messages.setdefault(task_id, []).append({"role": "user", "content": text})


class QuestionAnswering:
    """The workflow over one folder.

    Args:
        folder: text or source files; nothing outside of it is read.
        cache: a ``Cache``, a client, or None.
        model: what embeds.
        most_passages: longest list of passages that is embedded.
    """

    def __init__(self, folder: str, cache: Any, model: EmbeddingModel, *, most_passages: int = 80) -> None:
        self._sandbox, self._registry, self._tools = Sandbox(folder), file_registry(), file_dispatch()
        self._cache, self._limit = cache, most_passages
        self.conversation = Conversation()
        self._context = ContextBuilderNode(cache, self._build)
        self._embeddings = CachedEmbeddings(model, cache)
        self._prompts = PromptAssembler(ANSWER, cache)

    def answer_all(self, questions: list[Question], progress: Callable[[str], object] = str) -> Iterator[Answer]:
        """Answer questions in order; ``progress`` is told which."""
        for question in questions:
            progress(f"{question.task_id} turn {question.turn}: {question.text}")
            yield self.answer(question)

    def answer(self, question: Question) -> Answer:
        """One run: its span is the root of everything below."""
        began = time.perf_counter()
        with run() as tally:
            with node("context"):
                context = self._context.execute({"task_id": question.task_id, "turn": question.turn})
            with node("tools"):
                passages, matches = self._gather(question)
            with node("embed"):
                vectors = self._embeddings.passages([passage.text for passage in passages])
                vector = self._embeddings.query(question.text)
            with node("rank"):
                best = [passages[i] for i in nearest(vector, vectors, 3)]
            with node("prompt"):
                prompt = self._prompts.assemble(
                    {
                        "messages": context["messages"],
                        "passages": [f"{passage.path}:{passage.line}\n{passage.text}" for passage in best],
                        "matches": [f"{m['path']}:{m['line']}: {m['text']}" for m in matches[:20]],
                        "question": question.text,
                    }
                )
        names = [f"{passage.path}:{passage.line}" for passage in best]
        seconds = time.perf_counter() - began
        return Answer(question, prompt, names, seconds, tally.hits, tally.misses, tally.time_saved_s)

    def new_message(self, task_id: str, text: str) -> None:
        """A message was added: what was built for the task is dropped."""
        self.conversation.add(task_id, text)
        self._context.new_message(task_id)

    def call(self, tool: str, **payload: Any) -> dict[str, Any]:
        """One tool's result; an error's code when it failed."""
        _, result = execute_tool_call(
            ToolRequest(tool, payload), self._registry, self._sandbox, self._tools, cache_client=self._cache
        )
        return result

    def _build(self, context: Mapping[str, Any]) -> list[Any]:
        """A task's context: what was said, and an overview of the folder (each file with its first words)."""
        overview = []
        for name in self.call("list_files").get("files", ()):
            content = str(self.call("read_file", path=name).get("content", ""))
            defined = re.findall(r"^(?:class|def|async def) +(\w+)|^#+ (.+)$", content, re.MULTILINE)
            overview.append(f"{name}: {', '.join(a or b for a, b in defined[:12])}")
        said = self.conversation.messages.get(str(context["task_id"]), [])
        return [{"role": "system", "content": "\n".join(overview)}, *said]

    def _gather(self, question: Question) -> tuple[list[Passage], list[dict[str, Any]]]:
        passages: list[Passage] = []
        for name in self.call("list_files").get("files", ()):
            content = self.call("read_file", path=name).get("content")
            if isinstance(content, str):
                passages += split(name, content)
        found = self.call("search_text", pattern=question.word).get("matches", [])
        return passages[: self._limit], found
