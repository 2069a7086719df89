"""The lock of the peers, and how Bytewax is taken out of it: as far as it can be judged without installing anything."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks.peers import environment

ROOT = Path(__file__).parents[2]


def pinned(lock: Path) -> dict[str, set[str]]:
    """The versions of each package that *lock* names, with their markers."""
    found: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([a-z][\w.-]*)==(.+?) *\\$", lock.read_text(), flags=re.MULTILINE):
        found.setdefault(name, set()).add(version)
    return found


@pytest.mark.parametrize("package", ["msgspec", "numpy", "onnxruntime", "protobuf"])
def test_peers_score_with_the_versions_of_the_product(package: str) -> None:
    """A peer on another ONNX Runtime would be measured with another scoring."""
    assert pinned(environment.LOCK)[package] == pinned(ROOT / "requirements" / "worker.txt")[package]


def test_taking_bytewax_out_of_the_lock_leaves_every_other_entry_with_its_hashes() -> None:
    """The two parts together are the lock, and the smaller one names Bytewax alone."""
    lock = environment.LOCK.read_text()

    required, optional = environment.split(lock, environment.OPTIONAL)

    assert re.findall(r"^\w.*?==", optional, flags=re.MULTILINE) == ["bytewax=="]
    assert "--hash=sha256:" in optional
    assert sorted([*required.splitlines(), *optional.splitlines()]) == sorted(lock.splitlines())


def test_a_package_whose_name_only_begins_alike_stays() -> None:
    """`rich-click` is not `rich`."""
    lock = "rich==1 \\\n    --hash=sha256:a\n    # via x\nrich-click==2 \\\n    --hash=sha256:b\n"

    assert environment.split(lock, "rich") == (
        "rich-click==2 \\\n    --hash=sha256:b\n",
        "rich==1 \\\n    --hash=sha256:a\n    # via x\n",
    )


def test_a_lock_without_the_package_is_whole() -> None:
    """Nothing is taken where there is nothing to take."""
    lock = "rich==1 \\\n    --hash=sha256:a\n"

    assert environment.split(lock, "bytewax") == (lock, "")


def test_every_entry_of_the_lock_has_an_exact_version_and_a_hash() -> None:
    """A lock with one loose line would make pip refuse the whole file."""
    entries = re.split(r"\n(?=[a-z])", environment.LOCK.read_text().strip())

    assert all(re.match(r"[a-z][\w.-]*==\d", entry) and "--hash=sha256:" in entry for entry in entries)
