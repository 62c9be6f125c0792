"""How fast the cache is: measured as ratios to bare redis-py, beside the peers. ``make bench`` runs it."""
