"""Grafana's dashboards as code: ``python -m dashboards.source [--check]`` writes ``dashboards/grafana/dashboards``."""

import warnings

with warnings.catch_warnings():
    # the SDK warns at its import that it knows the schema v2 too; file provisioning takes the classic one
    warnings.simplefilter("ignore", DeprecationWarning)
    import grafana_foundation_sdk.builders.barchart
    import grafana_foundation_sdk.builders.dashboard  # noqa: F401
