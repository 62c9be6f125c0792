"""Traces that came without their root, inside the stack: of work that goes on, and of requests that ended quickly.

Run by ``python -`` in a container: the first argument is a word for the spans' names, the others are trace ids in hex;
without any, eight of each kind are begun. Prints one line of JSON: the ids by kind.
"""

import json
import secrets
import sys

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, TraceFlags, set_span_in_context

WORD, LATER = sys.argv[1], sys.argv[2:]


def main() -> None:
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    tracer = provider.get_tracer("long runs")
    begun = {kind: [secrets.token_hex(16) for _ in range(8)] for kind in ("INTERNAL", "SERVER")}
    ids = {"INTERNAL": LATER} if LATER else begun
    for kind, traces in ids.items():
        for trace_id in traces:
            parent = SpanContext(int(trace_id, 16), 0xABCDEF, is_remote=True, trace_flags=TraceFlags(1))
            context = set_span_in_context(NonRecordingSpan(parent))
            tracer.start_span(f"{WORD} part", context, SpanKind[kind]).end()
    provider.shutdown()
    print(json.dumps(ids))


if __name__ == "__main__":
    main()
