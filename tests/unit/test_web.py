"""The HTTP server, asked by a real client on a free port."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.errors import ConfigurationError
from app.metrics import Metrics
from app.web.server import WebServer


class Performance:
    """A source that answers with what it was asked."""

    def query(self, *, version=None, window_s=None, from_s=None, to_s=None):
        """What was asked, as the answer."""
        if window_s not in (None, 60, 3_600):
            raise ValueError(f"no window of {window_s} s; the contract has 60, 3600")
        return {"version": version, "window_s": window_s or 60, "from_s": from_s, "to_s": to_s}


class Worker:
    """A worker whose state a test sets."""

    def __init__(self):
        self.is_alive = True
        self.reasons = []
        self.served = ["churn", "fraud"]

    def alive(self):
        """As set."""
        return self.is_alive

    def readiness(self):
        """Ready when there is no reason against it."""
        return not self.reasons, self.reasons

    def status(self):
        """A status with a number that JSON does not know."""
        return {"pipelines": self.served, "lag": float("inf")}

    def pipelines(self):
        """As set."""
        return self.served

    def performance(self, pipeline):
        """The same source for every pipeline."""
        assert pipeline in self.served
        return Performance()


@pytest.fixture(name="worker")
def _worker():
    return Worker()


@pytest.fixture(name="get")
async def _get(worker):
    """A function that asks a started server and returns status, JSON or text, and headers."""
    server = WebServer("127.0.0.1", 0, worker, Metrics().registry)
    await server.start()
    async with aiohttp.ClientSession(server.url) as client:

        async def get(path, *, method="GET", headers=None):
            async with client.request(method, path, headers=headers) as response:
                is_json = response.content_type == "application/json" and method != "HEAD"
                return response.status, await (response.json() if is_json else response.text()), response.headers

        yield get
    await server.stop()


async def test_health_is_that_of_the_process(get, worker):
    """/healthz says 200 also while the worker is not ready, and 503 only when it is dead."""
    worker.reasons = ["tables recover"]
    alive = await get("/healthz")
    worker.is_alive = False
    dead = await get("/healthz")

    assert alive[:2] == (200, {"alive": True})
    assert dead[:2] == (503, {"alive": False})


async def test_readiness_tells_its_reasons(get, worker):
    """/readyz is 503 with each reason, and 200 once there is none."""
    worker.reasons = ["no assignment yet", "fraud: no model is loaded"]
    waiting = await get("/readyz")
    worker.reasons = []
    ready = await get("/readyz")

    assert waiting[:2] == (503, {"ready": False, "reasons": ["no assignment yet", "fraud: no model is loaded"]})
    assert ready[:2] == (200, {"ready": True, "reasons": []})


async def test_metrics_are_text_that_prometheus_reads(get):
    """/metrics parses, and OpenMetrics is served to whom it asks for it."""
    status, text, headers = await get("/metrics")
    _, open_text, open_headers = await get("/metrics", headers={"Accept": "application/openmetrics-text;version=1.0.0"})

    assert status == 200
    assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert "faust_onnx_rebalances" in {family.name for family in text_string_to_metric_families(text)}
    assert open_headers["Content-Type"].startswith("application/openmetrics-text")
    assert open_text.endswith("# EOF\n")


async def test_status_is_json_whatever_the_worker_says(get):
    """JSON has no infinity: it becomes null rather than a broken document."""
    status, body, _ = await get("/api/status")

    assert (status, body) == (200, {"pipelines": ["churn", "fraud"], "lag": None})


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("pipeline=fraud", (None, 60, None, None)),
        ("pipeline=fraud&version=&window=&from=&to=", (None, 60, None, None)),
        ("pipeline=fraud&version=2&window=60", (2, 60, None, None)),
        ("pipeline=fraud&from=100.5&to=200", (None, 60, 100.5, 200.0)),
        ("pipeline=fraud&from=1970-01-01T00:01:40Z&to=1970-01-01T02:05:00%2B02:00", (None, 60, 100.0, 300.0)),
        ("pipeline=fraud&to=1970-01-01T02:05:00+02:00", (None, 60, None, 300.0)),
        ("pipeline=fraud&from=1970-01-02", (None, 60, 86_400.0, None)),
        ("pipeline=fraud&from=-5", (None, 60, -5.0, None)),
    ],
)
async def test_performance_is_asked_as_the_query_says(get, query, expected):
    """Times are epoch seconds or ISO 8601, an empty value counts as absent."""
    status, body, _ = await get(f"/api/performance?{query}")

    assert (status, tuple(body.values())) == (200, expected)


@pytest.mark.parametrize(
    ("query", "parameter", "text"),
    [
        ("", "pipeline", "must name a pipeline"),
        ("pipeline=fraud&version=two", "version", "must be a whole number of at least 1"),
        ("pipeline=fraud&version=0", "version", "must be a whole number of at least 1"),
        ("pipeline=fraud&version=1.5", "version", "must be a whole number of at least 1"),
        ("pipeline=fraud&version=9999999999999999999999", "version", "must be a whole number"),
        ("pipeline=fraud&window=61", "window", "no window of 61 s; the contract has 60, 3600"),
        ("pipeline=fraud&from=yesterday", "from", "must be epoch seconds or ISO 8601"),
        ("pipeline=fraud&from=nan", "from", "must be epoch seconds or ISO 8601"),
        ("pipeline=fraud&to=1e999", "to", "must be epoch seconds or ISO 8601"),
        ("pipeline=fraud&to=2026-13-01", "to", "must be epoch seconds or ISO 8601"),
        ("pipeline=fraud&from=2&to=1", "from", "must not be later than `to`"),
        ("pipeline=fraud&windw=60", "windw", "unknown parameter; did you mean window?"),
        ("pipeline=fraud&pipeline=churn", "pipeline", "given more than once"),
    ],
)
async def test_a_wrong_query_is_told_what_is_wrong_and_what_is_right(get, query, parameter, text):
    """400 names the parameter, says what it must be and gives an example."""
    status, body, _ = await get(f"/api/performance?{query}")

    assert (status, body["parameter"], bool(body["example"])) == (400, parameter, True)
    assert body["error"].startswith(f"{parameter}: ")
    assert text in body["error"]


async def test_an_unknown_pipeline_is_told_the_known_ones(get):
    """404 lists what is served."""
    status, body, _ = await get("/api/performance?pipeline=frud")

    assert (status, body["pipelines"]) == (404, ["churn", "fraud"])


async def test_the_only_pipeline_need_not_be_named(get, worker):
    """With one pipeline there is nothing to choose."""
    worker.served = ["fraud"]

    assert (await get("/api/performance?window=60"))[0] == 200


async def test_the_index_names_every_endpoint_and_each_answers(get):
    """`/` is JSON for programs, a page with links for browsers, and no link is dead."""
    _, index, _ = await get("/")
    _, page, headers = await get("/", headers={"Accept": "text/html"})

    assert headers["Content-Type"].startswith("text/html")
    for path in index["endpoints"]:
        assert f'href="{path}"' in page
        assert (await get(path))[0] in {200, 400}


async def test_what_is_not_there_is_told_in_json(get):
    """An unknown path lists the endpoints; only reading is allowed."""
    status, body, _ = await get("/api/nothing")
    posted, refused, headers = await get("/api/status", method="POST")

    assert (status, "/api/status" in body["endpoints"]) == (404, True)
    assert (posted, "GET" in headers["Allow"], "GET" in refused["error"]) == (405, True, True)
    assert (await get("/healthz", method="HEAD"))[0] == 200


@pytest.mark.parametrize("path", ["/", "/healthz", "/metrics", "/api/performance", "/nothing"])
async def test_every_answer_is_guarded(get, path):
    """No sniffing, no framing, no sharing with other origins, no word on the software."""
    _, _, headers = await get(path, headers={"Origin": "https://elsewhere.example"})

    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert "Server" not in headers
    assert not [name for name in headers if name.lower().startswith("access-control")]


async def test_an_address_in_use_is_a_configuration_error(worker):
    """The error names the address and the way out; nothing stays open behind it."""
    first = WebServer("127.0.0.1", 0, worker, Metrics().registry)
    await first.start()
    port = int(first.address.rpartition(":")[2])
    try:
        with pytest.raises(ConfigurationError, match=f"127.0.0.1:{port}: this address is in use.*FAUST_ONNX_HTTP"):
            await WebServer("127.0.0.1", port, worker, Metrics().registry).start()
    finally:
        await first.stop()


async def test_an_address_of_another_machine_is_a_configuration_error(worker):
    """What cannot be bound is told with the system's own word for it."""
    with pytest.raises(ConfigurationError, match=r"192\.0\.2\.1:0: this address cannot be had"):
        await WebServer("192.0.2.1", 0, worker, Metrics().registry).start()


async def test_a_stopped_server_gives_its_port_back(worker):
    """Stopping twice is stopping once, and the port is free at once, although a client was connected."""
    server = WebServer("127.0.0.1", 0, worker, Metrics().registry)
    await server.start()
    host, _, port = server.address.rpartition(":")
    _, writer = await asyncio.open_connection(host, int(port))
    await server.stop()
    await server.stop()
    writer.close()

    again = WebServer(host, int(port), worker, Metrics().registry)
    await again.start()
    await again.stop()
