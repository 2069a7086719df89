"""Local state belongs to one process at a time."""

import pytest

from app.errors import ConfigurationError
from app.topology.state import StateSlot


def test_two_workers_with_one_folder_have_a_slot_each(tmp_path):
    """The second process takes the next slot; a freed slot is taken again, with what lies in it."""
    first, second = StateSlot(tmp_path), StateSlot(tmp_path)

    assert (first.path.name, second.path.name) == ("worker-0", "worker-1")

    first.close()
    third = StateSlot(tmp_path)

    assert third.path == first.path

    second.close()
    third.close()


def test_ledgers_of_clusters_and_groups_lie_apart(tmp_path):
    """Offsets mean something within one cluster and one group only, so their state is never mixed."""
    slot = StateSlot(tmp_path)

    assert slot.ledger("c1", "app", "fraud", 3) == slot.path / "ledger" / "c1" / "app" / "fraud" / "3"
    assert slot.ledger("c2", "app", "fraud", 3) != slot.ledger("c1", "app", "fraud", 3)

    slot.close()


def test_a_folder_that_cannot_be_written_is_named_with_its_setting(tmp_path):
    """The message says which setting to change."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="FAUST_ONNX_STATE_DIR"):
        StateSlot(tmp_path / "file")
