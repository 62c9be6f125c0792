"""Insight: what the cache's own figures say about it, decided apart from any I/O."""
