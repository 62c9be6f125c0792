"""The JSON of the runs, field by field; the OpenAPI document is made from this."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from telemetry.steps import Part
from telemetry.vocabulary import ErrorType, FlightScope, Operation, Outcome, Tier


class Piece(BaseModel):
    """A piece of a run's critical path."""

    part: Part = Field(description="Whose time it is.")
    name: str = Field(description="The category, the workflow's node, or `run`.")
    seconds: float = Field(description="Seconds of the path.")


class Critical(BaseModel):
    """What a run's duration is made of."""

    application_s: float = Field(description="Seconds of the path that are the application's own.")
    cache_s: float = Field(description="Seconds of the path in the cache.")
    compute_s: float = Field(description="Seconds of the path in computations.")
    wait_s: float = Field(description="Seconds of the path in waiting for other callers' computations.")
    pieces: list[Piece] = Field(description="The same by category and node, the longest first.")


class RunSummary(BaseModel):
    """One run that has ended."""

    model_config = ConfigDict(extra="allow")

    run_id: str = Field(description="32 hex; the same in all processes that took part.")
    trace_id: str = Field(description="32 hex; empty where nothing is traced.")
    span_id: str = Field(description="16 hex of the run's own span; empty where nothing is traced.")
    name: str = Field(description="Of its span.")
    began: float = Field(description="Seconds since the epoch.")
    seconds: float = Field(description="How long it took.")
    failed: bool = Field(description="True when an error left it.")
    hits: int = Field(description="Lookups answered by a fresh entry.")
    misses: int = Field(description="Lookups that found nothing.")
    errors: int = Field(description="Operations that met trouble with the store.")
    waits: int = Field(description="Waits for other callers' computations.")
    miss_reasons: dict[str, int] = Field(description="Misses by reason.")
    saved_s: float = Field(description="Seconds that its hits would have cost.")
    cache_s: float = Field(description="Seconds in the cache, over all threads and tasks.")
    compute_s: float = Field(description="Seconds in computations; one inside another counts in both.")
    wait_s: float = Field(description="Seconds in waiting, over all threads and tasks.")
    critical_path: Critical = Field(description="The chain of steps that its duration is made of.")
    left_out: int = Field(description="Steps that were summed and not kept.")
    process: int = Field(description="Id of its process.")


class RunStep(BaseModel):
    """One step of a run."""

    part: Part = Field(description="Whose time it takes.")
    name: str = Field(description="The category, or the workflow's node.")
    parent: int = Field(description="Number of the step that it lies in; 0: the run.")
    number: int = Field(description="Its own; 0: nothing lies below it.")
    began_s: float = Field(description="Seconds since the run began.")
    seconds: float = Field(description="How long it took.")
    operation: Operation | None = Field(description="Of the cache; null: it is none.")
    outcome: Outcome | None = Field(description="How it ended.")
    tier: Tier | None = Field(description="Who answered.")
    reasons: dict[str, int] = Field(description="How many lookups missed for each reason.")
    digest: str | None = Field(description="First 16 hex of the key's SHA-256.")
    error: ErrorType | None = Field(description="The trouble with the store.")
    size: int | None = Field(description="Keys of a batch.")
    hits: int = Field(description="Of them.")


class WholeRun(RunSummary):
    """One run with its steps."""

    steps: list[RunStep] = Field(description="In the order of time.")


class WorstWait(BaseModel):
    """The waits for one key."""

    category: str = Field(description="The key's category.")
    digest: str = Field(description="First 16 hex of the key's SHA-256.")
    waits: int = Field(description="How many, since the key is remembered.")
    seconds: float = Field(description="All of them together.")
    worst_s: float = Field(description="The longest of them.")
    scope: FlightScope = Field(description="How far the computation that it waited for is shared.")
    leader_trace: str = Field(description="32 hex: the trace of that computation; empty where it is not known.")
    leader_span: str = Field(description="16 hex of its span.")
    at: float = Field(description="When that wait ended, seconds since the epoch.")


class Runs(BaseModel):
    """The last runs of the process that answers."""

    scope: Literal["process"] = Field(description="Whose runs these are.")
    process: int = Field(description="Id of the process that answers.")
    bytes: int = Field(description="What all runs that are kept take at most.")
    runs: list[RunSummary] = Field(description="The newest first.")
    worst_waits: list[WorstWait] = Field(description="The keys that were waited for longest, the worst first.")


class OneRun(BaseModel):
    """A run with its steps: each part of it that ran in the process that answers."""

    process: int = Field(description="Id of the process that answers.")
    runs: list[WholeRun] = Field(description="The parts, in the order of their ends.")
