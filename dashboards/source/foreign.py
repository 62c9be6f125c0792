"""Names of metrics that others make: the Collector, Prometheus, the SDK, redis-py and the store's own figures.

Nothing of glasscache's is here; that is in ``telemetry.schema``. A test holds that a query uses no name from elsewhere.
"""

from __future__ import annotations

SCRAPE_JOB = "glasscache-scrape"
"""Job of the second road into Prometheus; every dashboard reads the first one, OTLP."""

# The Collector's connector ``spanmetrics``; by service, not by process.
SPAN_CALLS = "traces_span_metrics_calls_total"
SPAN_DURATION = "traces_span_metrics_duration_seconds"
SPAN_LABELS = frozenset({"span_name", "span_kind", "status_code"})
SPAN_NAME, SPAN_KIND, STATUS_CODE = "span_name", "span_kind", "status_code"
CLIENT, FAILED = "SPAN_KIND_CLIENT", "STATUS_CODE_ERROR"

# The Collector's redis receiver.
STORE_MEMORY_USED = "redis_memory_used_bytes"
STORE_MEMORY_RSS = "redis_memory_rss_bytes"
STORE_MEMORY_PEAK = "redis_memory_peak_bytes"
STORE_MEMORY_MAX = "redis_maxmemory_bytes"
STORE_EVICTED = "redis_keys_evicted_total"
STORE_EXPIRED = "redis_keys_expired_total"
STORE_KEYS = "redis_db_keys"
STORE_CLIENTS = "redis_clients_connected"
STORE_BLOCKED = "redis_clients_blocked"
STORE_ACCEPTED = "redis_connections_received_total"
STORE_REJECTED = "redis_connections_rejected_total"
STORE_COMMAND_CALLS = "redis_cmd_calls_total"
STORE_COMMAND_MICROSECONDS = "redis_cmd_usec_microseconds_total"
STORE_COMMAND_LATENCY = "redis_cmd_latency_seconds"
STORE_CPU = "redis_cpu_time_seconds_total"
STORE_IN = "redis_net_input_bytes_total"
STORE_OUT = "redis_net_output_bytes_total"
STORE_UPTIME = "redis_uptime_seconds_total"
STORE_LABELS = frozenset({"cmd", "percentile", "db", "state"})

# redis-py's own pool metrics.
POOL_CONNECTIONS = "db_client_connection_count"
POOL_CREATE_TIME = "db_client_connection_create_time_seconds"
POOL_STATE = "db_client_connection_state"
POOL_LABELS = frozenset({POOL_STATE})

# The SDK's figures of itself.
SDK_STARTED = "otel_sdk_span_started_total"
SDK_PROCESSED = "otel_sdk_processor_span_processed_total"
SDK_SPANS_EXPORTED = "otel_sdk_exporter_span_exported_total"
SDK_POINTS_EXPORTED = "otel_sdk_exporter_metric_data_point_exported_total"
SDK_QUEUE = "otel_sdk_processor_span_queue_size"
SDK_QUEUE_CAPACITY = "otel_sdk_processor_span_queue_capacity"
SDK_ERROR = "error_type"
OVERFLOW = "otel_metric_overflow"
SDK_LABELS = frozenset({SDK_ERROR, OVERFLOW})

# The Collector's figures of itself, as Prometheus scrapes them.
COLLECTOR_JOB = "otel-collector"
COLLECTOR_ACCEPTED = ("otelcol_receiver_accepted_spans_total", "otelcol_receiver_accepted_metric_points_total")
COLLECTOR_REFUSED = ("otelcol_receiver_refused_spans_total", "otelcol_receiver_refused_metric_points_total")
COLLECTOR_FAILED = ("otelcol_receiver_failed_spans_total", "otelcol_receiver_failed_metric_points_total")
COLLECTOR_SENT = ("otelcol_exporter_sent_spans_total", "otelcol_exporter_sent_metric_points_total")
COLLECTOR_SEND_FAILED = (
    "otelcol_exporter_send_failed_spans_total",
    "otelcol_exporter_send_failed_metric_points_total",
)
COLLECTOR_QUEUE = "otelcol_exporter_queue_size"
COLLECTOR_QUEUE_CAPACITY = "otelcol_exporter_queue_capacity"
COLLECTOR_MEMORY = "otelcol_process_memory_rss_bytes"
COLLECTOR_TRACES_NEW = "otelcol_processor_tail_sampling_new_trace_id_received_total"
COLLECTOR_TRACES_DECIDED = "otelcol_processor_tail_sampling_global_count_traces_sampled_total"
COLLECTOR_TRACES_WAITING = "otelcol_processor_tail_sampling_sampling_traces_on_memory"
COLLECTOR_SCRAPE_ERRORS = "otelcol_scraper_errored_metric_points_total"
COLLECTOR_LABELS = frozenset({"exporter"})

# Prometheus's figures of itself.
PROMETHEUS_OUT_OF_ORDER = "prometheus_tsdb_out_of_order_samples_total"
PROMETHEUS_OUT_OF_ORDER_KEPT = "prometheus_tsdb_head_out_of_order_samples_appended_total"
PROMETHEUS_TOO_OLD = "prometheus_tsdb_too_old_samples_total"
PROMETHEUS_EXEMPLARS = "prometheus_tsdb_exemplar_exemplars_appended_total"
UP = "up"

LABELS = (
    SPAN_LABELS | STORE_LABELS | POOL_LABELS | SDK_LABELS | COLLECTOR_LABELS | {"job", "instance", "le", "__name__"}
)
"""Every label that is not an attribute of ours."""

METRICS = frozenset(
    name
    for key, value in list(globals().items())
    if key.isupper() and key not in ("SCRAPE_JOB", "COLLECTOR_JOB", "CLIENT", "FAILED", "OVERFLOW")
    for name in ((value,) if isinstance(value, str) else value if isinstance(value, tuple) else ())
)
"""Every name above that a query may select."""
