"""The HTTP API: FastAPI, in the extra ``glasscache[api]``."""

from cache.api.app import create_app

__all__ = ["create_app"]
