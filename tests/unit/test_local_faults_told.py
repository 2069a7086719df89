"""A fault of the machine is told from damage: the one wants room or rights, the other a fresh start."""

import subprocess
import sys

import pytest

from app.feedback.store import CorruptStore, RocksdictStore, StoreUnavailable

FILL = """
import resource, sys
import rocksdict
from pathlib import Path
from app.feedback.store import RocksdictStore, StoreUnavailable
resource.setrlimit(getattr(resource, sys.argv[2]), (int(sys.argv[3]),) * 2)
try:
    store = RocksdictStore(Path(sys.argv[1]))
    for n in range(200):
        store.write({b"e%d-%d" % (n, k): bytes(64) for k in range(200)}, ())
except StoreUnavailable as fault:
    print(fault)
"""


@pytest.mark.parametrize(
    ("limit", "value", "words"),
    [("RLIMIT_FSIZE", 1 << 16, ["File too large", "ulimit -f"]), ("RLIMIT_NOFILE", 8, ["Too many open", "ulimit -n"])],
)
def test_what_the_machine_refuses_is_named_with_what_to_do(limit, value, words, tmp_path):
    """The state may be good: it is not to be deleted."""
    path = tmp_path / "store"
    RocksdictStore(path).close()
    command = [sys.executable, "-c", FILL, str(path), limit, str(value)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    assert all(word in ended.stdout for word in [*words, str(path), "nothing was lost"]), ended.stdout
    assert "delete" not in ended.stdout
    RocksdictStore(path).close()


def test_damage_is_damage(tmp_path):
    """A file that was cut or is gone means that the state is to be made anew."""
    path = tmp_path / "store"
    RocksdictStore(path).close()
    (path / "CURRENT").write_bytes(b"nothing\n")
    with pytest.raises(CorruptStore, match="delete the directory"):
        RocksdictStore(path)


def test_a_folder_that_cannot_be_made_is_no_damage(tmp_path):
    """Where a file stands in the way, deleting the state would not help either."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable, match="must be able to make directories"):
        RocksdictStore(tmp_path / "file" / "store")


@pytest.mark.parametrize(("limit", "code", "words"), [(100, 2, "only 100 files may be open"), (1000, 0, "1000")])
def test_the_limit_of_open_files_is_raised_or_refused(limit, code, words):
    """As far as the process may; a limit that is too low is a wrong configuration."""
    program = (
        "import resource, sys\nfrom app.errors import ConfigurationError\n"
        "from app.topology.process import allow_open_files\n"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, (min(200, {limit}), {limit}))\n"
        "try:\n    allow_open_files()\nexcept ConfigurationError as error:\n    print(error)\n    sys.exit(2)\n"
        "print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=30)
    assert (ended.returncode, words in ended.stdout) == (code, True), ended.stdout + ended.stderr
