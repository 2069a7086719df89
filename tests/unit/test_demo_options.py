"""What a run of the demo is by default, and what it refuses."""

from pathlib import Path

import pytest

from app.demo.options import Options
from app.errors import ConfigurationError


def test_the_steady_mode_has_labels_and_a_verdict_and_load_has_neither():
    """Under load every record counts for throughput; both can be asked for."""
    steady, load = Options(), Options(rate=20_000.0)

    assert (steady.is_load, steady.labels, steady.verify) == (False, True, True)
    assert (load.is_load, load.labels, load.verify) == (True, False, False)
    assert Options(rate=20_000.0, asked_labels=True).labels


@pytest.mark.parametrize(("seconds", "after_s"), [(None, 20.0), (600.0, 20.0), (30.0, 10.0)])
def test_the_second_version_comes_after_a_third_of_the_run_at_most_20_s(seconds, after_s):
    """However short the run, both versions are seen in it."""
    assert Options(seconds=seconds).swap_after_s == after_s


@pytest.mark.parametrize("wrong", [{"seconds": 0.0}, {"rate": -1.0}, {"json_path": Path("/nowhere/at/all/s.json")}])
def test_what_cannot_be_run_is_refused_before_anything_starts(wrong):
    """A wrong flag is told at once, not after a minute of streaming."""
    with pytest.raises(ConfigurationError):
        Options(**wrong)


def test_the_released_models_are_there():
    """The demo finds its models wherever it is started from."""
    assert all(Options().release(version).is_file() for version in (1, 2))
