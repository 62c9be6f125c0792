"""The OTLP exporter that writes light spans as bytes by itself, and leaves every other span to the SDK's encoder.

Both go out in one request. All else is the SDK's exporter: its client, bound of size, errors and own metrics. Where
this SDK has not the parts that are needed, light spans are made real and it does all.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Sequence
from typing import Any

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.metrics import MeterProvider
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.semconv.attributes.http_attributes import HTTP_RESPONSE_STATUS_CODE

from telemetry.light import LightSpan, Workshop
from telemetry.light_provider import thawed
from telemetry.otlp_spans import Heading, SpanBytes, request

_log = logging.getLogger("glasscache")


class UnencodedError(Exception):
    """Of the SDK's own metrics: what became of spans that no encoder took."""


class LightSpanExporter(OTLPSpanExporter):
    """Exports light spans without making them real.

    Args:
        endpoint: URL of the Collector's traces; None takes the ``OTEL_*`` variables.
        timeout: of a request, seconds.
        meter_provider: where it tells of what it exports.
    """

    def __init__(self, endpoint: str | None, timeout: float | None, meter_provider: MeterProvider) -> None:
        super().__init__(endpoint=endpoint, timeout=timeout, meter_provider=meter_provider)
        self._bytes = SpanBytes()
        self._headings: dict[Workshop, Heading] = {}
        self._oversize = _oversize(self)

    def export(self, spans: Sequence[Any]) -> SpanExportResult:
        """Send spans, light and others.

        Returns:
            FAILURE when the request was not taken, or was too large to be sent.
        """
        if self._oversize is None or self._shutdown:
            return super().export(list(thawed(spans)))
        body, lost = self.encoded(spans)
        if lost:
            with self._metrics.export_operation(lost) as result:
                result.error = UnencodedError()
            if lost == len(spans):
                return SpanExportResult.FAILURE
        with self._metrics.export_operation(len(spans) - lost) as result:
            result.error = self._oversize(body)
            if result.error is not None:
                _log.warning("spans were dropped: %s", result.error)
                return SpanExportResult.FAILURE
            sent = self._client.export(body)
            if not sent.success:
                result.error = sent.error
                if sent.status_code is not None:
                    result.error_attrs = {HTTP_RESPONSE_STATUS_CODE: sent.status_code}
                return SpanExportResult.FAILURE
        return SpanExportResult.SUCCESS

    def encoded(self, spans: Sequence[Any]) -> tuple[bytes, int]:
        """The request, and how many spans are not in it."""
        groups: dict[Workshop, list[bytes]] = {}
        others = []
        for span in spans:
            if getattr(span, "light", False):
                try:
                    if self._written(span, groups):
                        continue
                except Exception as error:
                    # what is odd about it the SDK's encoder knows, or says
                    _log.debug("a span is left to the SDK's encoder: %s", type(error).__name__)
            others.append(span)
        body = request([(self._headings[workshop], made) for workshop, made in groups.items()])
        if not others:
            return body, 0
        rest, lost = _ordinarily(others)
        # messages one after the other are one that has the parts of both
        return body + rest, lost

    def _written(self, span: LightSpan, groups: dict[Workshop, list[bytes]]) -> bool:
        """Write a span to its group; False when it is not for us."""
        told, workshop = span.told(), span.workshop
        if not workshop.unlimited(span, told):
            return False
        if workshop not in self._headings:
            self._headings[workshop] = _heading(span)
        made = self._bytes.of(span, told)
        groups.setdefault(workshop, []).append(made)
        return True


def _heading(span: LightSpan) -> Heading:
    """As the SDK encodes it for a span of the same origin."""
    (resource,) = encode_spans([span.readable()]).resource_spans
    (scope,) = resource.scope_spans
    return Heading(
        resource.resource.SerializeToString(), resource.schema_url, scope.scope.SerializeToString(), scope.schema_url
    )


def _ordinarily(spans: Sequence[Any]) -> tuple[bytes, int]:
    """A request of the SDK's, and how many spans are not in it."""
    real = list(thawed(spans))
    try:
        return encode_spans(real).SerializePartialToString(), len(spans) - len(real)
    except Exception:
        # one is at fault: the others go out all the same
        each = [made for span in real if (made := _alone(span)) is not None]
        return b"".join(each), len(spans) - len(each)


def _alone(span: ReadableSpan) -> bytes | None:
    try:
        made: bytes = encode_spans([span]).SerializePartialToString()
        return made
    except Exception as error:
        _log.warning("a span could not be exported: %s", type(error).__name__)
        return None


def _oversize(exporter: Any) -> Callable[[bytes], Exception | None] | None:
    """Says what is wrong with a request that is too large; None when the SDK's exporter has not the parts it takes."""
    try:
        common = importlib.import_module("opentelemetry.exporter.otlp.proto.http._common")
        too_large, error = common._is_request_too_large, common.RequestPayloadTooLargeError
        most, _ = exporter._max_request_size, (exporter._client.export, exporter._metrics.export_operation)
    except (ImportError, AttributeError):
        return None

    def check(body: bytes) -> Exception | None:
        if not too_large(body, most):
            return None
        made: Exception = error(f"a request of {len(body)} bytes exceeds the bound of {most}")
        return made

    return check
