"""Redis and Valkey in cluster mode: which server has what, and one operation over several of them."""
