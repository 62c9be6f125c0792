"""Series that others make, by name, with the labels that they really carry beside ``job`` and ``instance``.

Source: read on 2026-11-25 from Prometheus 3.16.0, where the SDK 1.45 of a process and the redis receiver of the
Collector 0.145.0 arrived by OTLP, and the Collector's own :8888 was scraped. Failures were provoked: a queue of spans
that was too small, an endpoint that answered 404, a queue of the Collector of 3000 bytes.
"""

from __future__ import annotations

from collections.abc import Mapping

COLLECTOR = frozenset({"otel_scope_name"})
"""What the Collector puts on each of its own series; no rule looks at it, so the tests' series leave it out."""

_PROCESSOR = frozenset({"otel_component_name", "otel_component_type"})
_EXPORTER = _PROCESSOR | {"server_address", "server_port"}
_STORE = frozenset({"server_address", "server_port"})
_SENDS = frozenset({"exporter"})
_RECEIVES = frozenset({"receiver", "transport"})

LABELS: Mapping[str, tuple[frozenset[str], ...]] = {
    "up": (frozenset(),),
    "otel_sdk_processor_span_processed_total": (_PROCESSOR, _PROCESSOR | {"error_type"}),
    "otel_sdk_processor_span_queue_size": (_PROCESSOR,),
    "otel_sdk_processor_span_queue_capacity": (_PROCESSOR,),
    "otel_sdk_exporter_span_exported_total": (_EXPORTER, _EXPORTER | {"error_type"}),
    "otelcol_receiver_refused_spans_total": (_RECEIVES,),
    # the redis receiver has no transport
    "otelcol_receiver_refused_metric_points_total": (_RECEIVES, frozenset({"receiver"})),
    "otelcol_exporter_queue_size": (_SENDS | {"data_type"},),
    "otelcol_exporter_queue_capacity": (_SENDS | {"data_type"},),
    "otelcol_exporter_send_failed_spans_total": (_SENDS,),
    "otelcol_exporter_send_failed_metric_points_total": (_SENDS,),
    "otelcol_exporter_enqueue_failed_spans_total": (_SENDS,),
    "otelcol_exporter_enqueue_failed_metric_points_total": (_SENDS,),
    "otelcol_process_memory_rss_bytes": (frozenset(),),
    # promoted from the resource by prometheus.yml
    "redis_keys_evicted_total": (_STORE,),
    "redis_keys_expired_total": (_STORE,),
    "redis_memory_used_bytes": (_STORE,),
    "redis_maxmemory_bytes": (_STORE,),
}
"""One or more label sets for each name: a label that only some of its series have makes a further one."""

PROMETHEUS_OWN = frozenset({"ALERTS"})
"""Written by Prometheus's rules themselves."""
