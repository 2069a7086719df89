"""Which loaded scorers stay."""

from __future__ import annotations

from app.registry.shelf import ScorerShelf


def shelf_of(used_at_s):
    """A shelf with room for two, holding versions with the given times of use."""
    shelf = ScorerShelf(kept=2)
    for version, at_s in used_at_s.items():
        shelf.put(version, f"scorer {version}", used_at_s=at_s)
    return shelf


def test_the_longest_unused_leave_first():
    """Three are one too many: the one used longest ago goes."""
    shelf = shelf_of({1: 20.0, 2: 10.0, 3: 30.0})
    shelf.tidy([], now_s=100.0)
    assert shelf.versions == [1, 3]
    assert shelf[3] == "scorer 3"


def test_pinned_versions_stay():
    """The version in force and the next one stay, however long nobody asked for them."""
    shelf = shelf_of({1: 10.0, 2: 20.0, 3: 30.0})
    shelf.tidy([1, 2], now_s=100.0)
    assert shelf.versions == [1, 2]


def test_what_is_in_use_stays_although_it_is_many():
    """A batch that spans four versions keeps all four until it is done with them."""
    shelf = shelf_of({1: 10.0, 2: 20.0, 3: 30.0, 4: 40.0})
    for version in shelf.versions:
        shelf.touch(version, now_s=95.0)
    shelf.tidy([], now_s=100.0)
    assert shelf.versions == [1, 2, 3, 4]


def test_a_release_that_was_only_judged_is_the_first_to_go():
    """A flood of releases that nobody activates does not fill the memory."""
    shelf = shelf_of({1: 99.0, 2: 99.0})
    for version in range(3, 20):
        shelf.put(version, "judged", used_at_s=float("-inf"))
        shelf.tidy([1], now_s=100.0)
    assert shelf.versions == [1, 2]
