"""One primary that sentinels name, and another one after a failover."""
