"""Insight: what the cache says of itself; pure decisions and operations over the core, no I/O of their own."""
