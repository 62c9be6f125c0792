"""Grafana's dashboards as code: ``python -m dashboards.source [--check]`` writes ``dashboards/grafana/dashboards``."""
