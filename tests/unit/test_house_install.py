"""The script that makes the virtual environment, as far as it can be judged without making one."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SPEC = importlib.util.spec_from_file_location("install", ROOT / "requirements" / "install.py")
assert SPEC is not None
assert SPEC.loader is not None
install = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(install)


@pytest.mark.parametrize("version", [(3, 11), (3, 12), (3, 13)])
def test_supported_pythons_are_accepted(version: tuple[int, int]) -> None:
    """The three Pythons that the locks cover are not refused."""
    assert install.refusal(version) is None


@pytest.mark.parametrize("version", [(3, 8), (3, 10), (3, 14)])
def test_other_pythons_are_refused_with_a_remedy(version: tuple[int, int]) -> None:
    """The refusal names the version found and the command that would work."""
    text = install.refusal(version)

    assert f"{version[0]}.{version[1]}" in text
    assert "make PYTHON=python3." in text


@pytest.mark.parametrize("lock", ["worker", "dev"])
def test_every_locked_package_has_a_hash_and_an_exact_version(lock: str) -> None:
    """A lock with one loose line would make pip refuse the whole file."""
    text = (ROOT / "requirements" / f"{lock}.txt").read_text()
    entries = re.split(r"\n(?=[a-z])", text.strip())

    assert len(entries) == install.locked(ROOT / "requirements" / f"{lock}.txt")
    assert all(re.match(r"[\w.-]+(\[[\w,]+\])?==\S+", entry) and "--hash=sha256:" in entry for entry in entries)


def test_the_worker_lock_is_part_of_the_dev_lock() -> None:
    """What is tested is what the worker's image holds."""

    def versions(lock: str) -> set[str]:
        return set(re.findall(r"^[\w.-]+==[\w.]+", (ROOT / "requirements" / lock).read_text(), re.MULTILINE))

    assert versions("worker.txt") <= versions("dev.txt")


@pytest.mark.parametrize("lock", ["worker.txt", "dev.txt"])
def test_every_named_requirement_is_locked(lock: str) -> None:
    """A requirement added to an .in file without `make lock` is found here."""
    folder = ROOT / "requirements"
    named = {
        re.split(r"[\[<>=;, ]", line)[0]
        for line in (folder / lock).with_suffix(".in").read_text().splitlines()
        if line and not line.startswith(("#", "-"))
    }
    locked = {line.split("==")[0] for line in (folder / lock).read_text().splitlines() if "==" in line}

    assert named <= locked
