"""`python -m verify` on real topics of a pipeline that is joined by id: green, and each seeded violation is found."""

import asyncio
import json
import sys
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from tests import verify_by_id
from tests.verify_by_id import TOPICS, WIDTHS, ByIdHandMade

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.broker


@pytest.fixture(name="judged")
def _judged(unique, create_topics, bootstrap, tmp_path):
    """Write a hand-made pipeline, perhaps broken by *seed*, and run the command line: (exit code, text, report)."""

    async def judge(seed=None):
        made = ByIdHandMade(unique())
        if seed is not None:
            seed(made)
        folder = tmp_path / made.name
        folder.mkdir()
        (folder / "contract.toml").write_text(made.contract_text)
        # The hand-made records are of 2023: by default Kafka would delete them as too old.
        await create_topics({f"{made.name}.{word}": (WIDTHS.get(word, 1), {"retention.ms": "-1"}) for word in TOPICS})
        async with AIOKafkaProducer(bootstrap_servers=bootstrap, linger_ms=5) as producer:
            sent = [
                await producer.send(
                    record.topic,
                    record.value,
                    key=record.key,
                    partition=record.partition,
                    timestamp_ms=record.timestamp_ms,
                    headers=list(record.headers),
                )
                for log in made.records.values()
                for record in log
            ]
            await asyncio.gather(*sent)
        told = tmp_path / f"{made.name}.json"
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "verify", "--broker", bootstrap, "--pipeline", made.name),
            *("--models-dir", str(tmp_path), "--json", str(told), "--no-faults"),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        return process.returncode, output.decode(), json.loads(told.read_text())

    return judge


async def test_a_consistent_pipeline_is_green(judged):
    """Exit code 0, and all of the ledger topic was looked at."""
    code, text, report = await judged()

    assert code == 0, text
    assert report["checks"]["rekeyed"]["checked"] == 49


@pytest.mark.parametrize("check", sorted({check for check, _ in verify_by_id.SEEDS.values()}))
async def test_every_violation_in_real_topics_is_found(check, judged):
    """Each seed of a check gives exit code 1, and the violation is told with its kind and coordinates."""
    kinds = {seed: kind for seed, (of_check, kind) in verify_by_id.SEEDS.items() if of_check == check}

    verdicts = await asyncio.gather(*map(judged, kinds))  # side by side: most of it is waiting
    for (seed, kind), (code, text, report) in zip(kinds.items(), verdicts, strict=True):
        found = report["checks"][check]
        assert (seed.__name__, code) == (seed.__name__, 1), text
        assert found["found"].get(kind), text
        assert any(violation["kind"] == kind and violation["where"] for violation in found["violations"])
