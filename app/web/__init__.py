"""What a worker answers over HTTP: health, readiness, metrics, status, and the performance of its models.

`server` is the server, `service` what it needs to know of the worker, `queries` and `times` read what was asked.
"""

from app.web.server import WebServer

__all__ = ["WebServer"]
