"""The span of a hit that is computed again, and its count; never a value, only digests that nobody can guess from."""

from __future__ import annotations

from types import TracebackType

from opentelemetry.context import Context
from opentelemetry.trace import SpanContext

from telemetry import schema, tally
from telemetry.kit import Kit
from telemetry.scopes import SpanScope, failure_of
from telemetry.vocabulary import ErrorType, VerificationResult


class Verification:
    """What is found out; filled in while it goes on.

    Attributes:
        result: None when it was given up.
    """

    def __init__(self) -> None:
        self.result: VerificationResult | None = None
        self.error: ErrorType | None = None
        self.digests: tuple[str, str] | None = None
        self.repeatable = True
        self.times: list[tuple[float, float]] = []

    def failed(self, why: ErrorType | Exception) -> None:
        """Say why nothing could be said."""
        self.error = why if isinstance(why, ErrorType) else failure_of(why)

    def differs(self, stored: str, computed: str, *, repeatable: bool) -> None:
        """Say what differs.

        Args:
            stored, computed: digests of the values.
            repeatable: whether the computation gave the same twice.
        """
        self.digests, self.repeatable = (stored, computed), repeatable

    def took(self, before_s: float, seconds: float) -> None:
        """Say how long the computation took now, and how long when the entry was made; seconds."""
        if before_s > 0.0:
            self.times.append((before_s, max(0.0, seconds)))


class VerifyScope(SpanScope):
    """The root span of a verification; what happens inside belongs to no run."""

    __slots__ = ("_category", "_cause", "_digest", "_kit", "_outside", "_told")

    def __init__(self, kit: Kit, category: str, digest: str, cause: SpanContext | None) -> None:
        super().__init__(kit.tracer, kit.ledger)
        self._kit, self._category, self._digest = kit, kit.ledger.known(category), digest
        self._cause, self._told = cause, Verification()

    def __enter__(self) -> Verification:
        attributes = {schema.CATEGORY: self._category, schema.KEY_DIGEST: self._digest}
        self.start(schema.verify_span(self._category), attributes, self._cause, Context())
        self._outside = tally.outside()
        return self._told

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        tally.leave(self._outside)
        told = self._told
        if told.result is not None:
            self._kit.ledger.verified(self._category, told.result, told.times)
            with self.guarded():
                self._say(told, told.result)
        self.finish(kind)

    def _say(self, told: Verification, result: VerificationResult) -> None:
        self.span.set_attribute(schema.RESULT, result.value)
        if told.error is not None:
            self.span.set_attribute(schema.ERROR_TYPE, told.error.value)
        if told.digests is not None:
            stored, computed = told.digests
            self.span.set_attributes(
                {
                    schema.VERIFIED_STORED: stored,
                    schema.VERIFIED_COMPUTED: computed,
                    schema.VERIFIED_REPEATABLE: told.repeatable,
                }
            )
