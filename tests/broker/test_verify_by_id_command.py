"""`python -m verify` on real topics of a pipeline that is joined by id: green, and each seeded violation is found."""

import asyncio

import pytest

from tests import programs, verify_by_id
from tests.verify_by_id import TOPICS, WIDTHS, ByIdHandMade

pytestmark = pytest.mark.broker


@pytest.fixture(name="judged")
def _judged(unique, write_hand_made, bootstrap, tmp_path):
    """Write a hand-made pipeline, perhaps broken by *seed*, and run the command line: (exit code, text, report)."""

    async def judge(seed=None):
        made = ByIdHandMade(unique())
        if seed is not None:
            seed(made)
        await write_hand_made(made, {word: WIDTHS.get(word, 1) for word in TOPICS})
        told = tmp_path / f"{made.name}.json"
        return await programs.verify(bootstrap, made.name, tmp_path, "--no-faults", report_at=told)

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
