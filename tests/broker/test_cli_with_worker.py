"""The command line beside a running worker, as somebody would go about it; and what it says when it cannot."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from contextlib import closing

import pytest

from tests.programs import faust_onnx
from tests.workers import linear_model

pytestmark = pytest.mark.broker


@pytest.fixture(name="cli")
def _cli():
    """Run `faust-onnx` for a pipeline: exit code, JSON or text of standard output, standard error."""

    async def run(one, *arguments, **settings):
        given = {"broker": one.bootstrap, "models_dir": one.models_dir, "partitions": one.partitions}
        return await faust_onnx(*arguments, **given | settings)

    return run


async def test_from_topics_to_a_swap_by_the_command_line_alone(cli, pipeline, rng, read_all, eventually):
    """Topics, a first model, a broken one, a second one in force from a given time: `list` and `show` tell it all."""
    one = pipeline()
    of = ("--pipeline", one.name, "--json")
    files = {}
    for name, model in (("1", linear_model((1.0, -1.0))), ("2", b"no model"), ("3", linear_model((-1.0, 1.0)))):
        files[name] = one.folder / f"{name}.onnx"
        files[name].write_bytes(model)
    code, topics, _ = await cli(one, "topics", "create", *of)
    assert (code, len(topics), {row["created"] for row in topics}) == (0, 8, {True})
    code, first, _ = await cli(one, "model", "publish", files["1"], *of, "--activate", "--author", "ann")
    assert (code, first["version"], first["author"], first["activation"]["sequence"]) == (0, 1, "ann", 1)
    worker = await one.start_worker().ready()
    await one.feed(50, rng=rng, labels=0)

    code, broken, _ = await cli(one, "model", "publish", files["2"], *of, "--activate")
    assert (code, broken["version"]) == (0, 2)
    code, third, _ = await cli(one, "model", "publish", files["3"], *of, "--note", "turned round")
    assert (code, third["version"], third["note"], "activation" in third) == (0, 3, "turned round", False)
    code, answer, _ = await cli(one, "model", "activate", 3, *of, "--at", f"{time.time() + 4:.3f}")
    assert (code, answer["sequence"], answer["version"], answer["pipeline"]) == (0, 3, 3, one.name)
    turn_s = answer["effective_from_s"]

    async def scored_by_three():
        await one.feed(10, rng=rng, labels=0)
        return [record for record in await read_all(one.topics.predictions) if b'"version":3,' in record.value]

    await eventually(scored_by_three, deadline_s=20, every_s=0.3)
    for record in await read_all(one.topics.predictions):
        assert json.loads(record.value)["version"] == (3 if record.timestamp / 1000 >= turn_s else 1)

    code, listed, _ = await cli(one, "model", "list", *of)
    releases = {each["version"]: each for each in listed["releases"]}
    assert (code, listed["in_force"]) == (0, {"version": 3, "sequence": 3})
    assert [releases[n]["state"] for n in (1, 2, 3)] == ["accepted", "refused", "accepted"]
    assert releases[2]["reason"] == "not_onnx"
    validity = {each["sequence"]: each["validity"] for each in listed["activations"]}
    assert validity == {1: "valid", 2: "ignored", 3: "valid"}
    code, shown, _ = await cli(one, "model", "show", 3, *of)
    assert (code, shown["in_force"], shown["note"], shown["sha256"]) == (0, True, "turned round", third["sha256"])
    code, text, _ = await cli(one, "model", "list", "--pipeline", one.name)
    assert code == 0
    assert "refused (not_onnx)" in text
    _, status = await worker.get("/api/status")
    assert status["pipelines"][one.name]["models"]["current"] == {"version": 3, "sequence": 3}


async def test_a_model_of_100_mb_travels_and_serves(cli, pipeline, rng, read_all, eventually):
    """Published by the command line in chunks, it reaches the worker whole, and the worker scores with it."""
    one = pipeline()
    await one.create()
    file = one.folder / "large.onnx"
    file.write_bytes(linear_model((1.0, -1.0), n_extra_bytes=100 << 20))
    assert file.stat().st_size > 100 << 20
    worker = one.start_worker()
    code, published, _ = await cli(one, "model", "publish", file, "--pipeline", one.name, "--activate", "--json")
    assert (code, published["size"]) == (0, file.stat().st_size)
    await worker.ready(60)
    await one.feed(30, rng=rng, labels=0)
    records = await eventually(lambda: read_all(one.topics.predictions), every_s=0.2)
    assert dict(records[0].headers)["model-sha256"].decode() == published["sha256"]


async def test_an_unknown_pipeline_is_told_with_what_there_is(cli, pipeline):
    """Exit code 2, the missing file, and the pipeline that was probably meant."""
    one = pipeline()
    wrong = one.name[:-1]
    for arguments in (("topics", "create"), ("model", "list"), ("model", "activate", "1")):
        code, _, error = await cli(one, *arguments, "--pipeline", wrong)
        assert code == 2
        assert f"{wrong}/contract.toml" in error
        assert f"did you mean {one.name}?" in error


async def test_a_broken_contract_is_named_with_file_and_field(cli, pipeline):
    """Exit code 2 and a valid example."""
    one = pipeline()
    path = one.models_dir / one.name / "contract.toml"
    path.write_text(path.read_text().replace('task = "binary"', 'task = "guess"'))
    code, _, error = await cli(one, "topics", "create", "--pipeline", one.name)
    assert code == 2
    assert str(path) in error
    assert 'task = "binary"' in error


COMMANDS = [
    ("topics", "create"),
    ("topics", "list"),
    ("model", "list"),
    ("model", "activate", "1"),
    ("dead-letters", "list"),
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
async def test_a_broker_that_refuses_is_told_at_once(command, cli, pipeline):
    """Exit code 1, the address, and what to do."""
    one = pipeline()
    began = time.monotonic()
    code, _, error = await cli(one, *command, "--pipeline", one.name, broker="127.0.0.1:1")
    assert code == 1
    assert "127.0.0.1:1" in error
    assert "FAUST_ONNX_BROKER" in error
    assert error.count("error: ") == 1
    assert time.monotonic() - began < 10


@pytest.fixture(name="silent")
def _silent():
    """The address of something that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = []

        def accept():
            while True:
                try:
                    taken.append(server.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        thread.join(5)
        for connection in taken:
            with closing(connection):
                pass


async def test_a_broker_that_says_nothing_is_given_up(cli, pipeline, silent):
    """A port that is open and silent: exit code 1 and the address within 15 s, for commands and for the worker."""
    one = pipeline()
    began = time.monotonic()
    commands = [("dead-letters", "list", "--pipeline", one.name), ("worker", "--pipelines", one.name)]
    ended = await asyncio.gather(
        *(cli(one, *command, broker=silent, state_dir=one.folder / "state") for command in commands)
    )
    for code, _, error in ended:
        assert code == 1
        assert silent in error
        assert "no answer within" in error
    assert time.monotonic() - began < 15
