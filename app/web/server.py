"""The HTTP server of a worker: it only reads, and answers from memory while anything else goes on."""

from __future__ import annotations

import errno
from html import escape
from typing import TYPE_CHECKING, Any, Final

import msgspec
from aiohttp import web
from prometheus_client.exposition import choose_encoder

from app.errors import ConfigurationError
from app.web.queries import QueryError, answer, chosen_pipeline, parse_performance_query

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from prometheus_client import CollectorRegistry

    from app.web.service import StatusProvider

ENDPOINTS: Final = {
    "/healthz": "200 while the process is alive, also while it recovers",
    "/readyz": "200 when ready, else 503 and the reasons",
    "/metrics": "metrics for Prometheus",
    "/api/status": "the worker: pipelines, partitions, versions, lag",
    "/api/performance": "?pipeline=&version=&window=&from=&to= - how well the models do",
}
_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_SHUTDOWN_TIMEOUT_S: Final = 2.0


class WebServer:
    """Serves *service* and *registry* on host:port; port 0 takes any free one.

    Runs on the loop that starts it; needs nothing of Kafka, so it can start before the consumer does.
    """

    def __init__(self, host: str, port: int, service: StatusProvider, registry: CollectorRegistry) -> None:
        self._host, self._port = host, port
        self._service, self._registry = service, registry
        self._runner: web.AppRunner | None = None
        self._bound = (host, port)

    @property
    def address(self) -> str:
        """`host:port` as bound, with the actual port once started."""
        host, port = self._bound
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    @property
    def url(self) -> str:
        """The address as a URL."""
        return f"http://{self.address}"

    async def start(self) -> None:
        """Listen. Raises ConfigurationError when the address cannot be had."""
        app = web.Application(middlewares=[_errors_as_json])
        app.on_response_prepare.append(_add_headers)
        app.router.add_get("/", self._index)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/api/status", self._status)
        app.router.add_get("/api/performance", self._performance)
        runner = web.AppRunner(app, handle_signals=False, access_log=None, shutdown_timeout=_SHUTDOWN_TIMEOUT_S)
        await runner.setup()
        try:
            await web.TCPSite(runner, self._host, self._port).start()
        except OSError as error:
            await runner.cleanup()
            what = "is in use by another program" if error.errno == errno.EADDRINUSE else f"cannot be had ({error})"
            raise ConfigurationError(
                f"http = {self.address}: this address {what}; choose another with FAUST_ONNX_HTTP or --http, "
                f"port 0 takes any free one: {self._host}:0"
            ) from error
        self._runner = runner
        self._bound = (self._host, runner.addresses[0][1])

    async def stop(self) -> None:
        """Stop listening; a second call does nothing."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def _index(self, request: web.Request) -> web.Response:
        if "text/html" not in request.headers.get("Accept", ""):
            return _json({"service": "faust-onnx", "endpoints": ENDPOINTS})
        rows = "".join(f'<li><a href="{path}">{path}</a> {escape(text)}</li>' for path, text in ENDPOINTS.items())
        page = f'<!doctype html><html lang="en"><title>faust-onnx</title><h1>faust-onnx</h1><ul>{rows}</ul></html>'
        return web.Response(text=page, content_type="text/html")

    async def _healthz(self, _request: web.Request) -> web.Response:
        alive = self._service.alive()
        return _json({"alive": alive}, status=200 if alive else 503)

    async def _readyz(self, _request: web.Request) -> web.Response:
        ready, reasons = self._service.readiness()
        return _json({"ready": ready, "reasons": list(reasons)}, status=200 if ready else 503)

    async def _metrics(self, request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(self._registry), headers={"Content-Type": content_type})

    async def _status(self, _request: web.Request) -> web.Response:
        return _json(self._service.status())

    async def _performance(self, request: web.Request) -> web.Response:
        served = list(self._service.pipelines())
        try:
            asked = parse_performance_query(request.query.items())
            pipeline = chosen_pipeline(asked.pipeline, served)
            if pipeline not in served:
                return _json({"error": f"no pipeline {pipeline} is served here", "pipelines": served}, status=404)
            return _json(answer(self._service.performance(pipeline), asked))
        except QueryError as fault:
            told = {"error": f"{fault.parameter}: {fault}", "parameter": fault.parameter, "example": fault.example}
            return _json({**told, "pipelines": served}, status=400)


def _json(value: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """*value* as a JSON response; what JSON does not know is written as text."""
    body = msgspec.json.encode(value, enc_hook=str)
    return web.Response(body=body + b"\n", status=status, content_type="application/json", headers=headers)


async def _add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(_HEADERS)
    # Which versions run here is nobody's business.
    response.headers.popall("Server", None)


@web.middleware
async def _errors_as_json(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """An unknown path or method answers in JSON too; a bug stays what it is, logged, and a plain 500."""
    try:
        return await handler(request)
    except web.HTTPNotFound:
        return _json({"error": f"there is no {request.path}", "endpoints": ENDPOINTS}, status=404)
    except web.HTTPMethodNotAllowed as error:
        allowed = ", ".join(sorted(error.allowed_methods))
        return _json({"error": f"{request.path} takes {allowed} only"}, status=405, headers={"Allow": allowed})
