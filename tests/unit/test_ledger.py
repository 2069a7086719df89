"""The rules of the ledger, one by one, with a horizon of 10 s."""

from __future__ import annotations

import math
import struct
from functools import partial

import pytest

from app.feedback import CorruptStore, DictStore, Kind, Ledger, RocksdictStore, SeenLabel, SeenPrediction, delete_store
from app.feedback.entry import age_of
from app.feedback.seen import entry_key
from app.records import Positions
from tests.makers import a_contract

H = 10.0
contract = partial(a_contract, label_horizon_s=H)


class Bench:
    """A ledger, fed record by record."""

    def __init__(self, store=None, **options):
        self.ledger = Ledger(DictStore() if store is None else store, options.pop("contract", contract()), **options)
        self.p, self.l = self.ledger.positions.predictions, self.ledger.positions.labels

    def predict(self, id_, event_at, *, source=None, timestamp=None, **fields):
        """The contributions of one prediction; *source* is its coordinates, its own unless given."""
        seen = SeenPrediction(
            self.p,
            entry_key(id_),
            self.p if source is None else source,
            fields.pop("version", 1),
            float(event_at),
            float(event_at if timestamp is None else timestamp),
            fields.pop("y_pred", 1),
            fields.pop("score", 0.75),
            fields.pop("scores", b""),
        )
        self.p += 1
        return self.ledger.add_predictions([seen], self.p)

    def label(self, id_, at, y_true=1):
        """The contributions of one label."""
        seen = SeenLabel(self.l, entry_key(id_), float(at), y_true)
        self.l += 1
        return self.ledger.add_labels([seen], self.l)


def kinds(contributions):
    """What happened."""
    return [each.kind for each in contributions]


@pytest.fixture(name="bench")
def _bench():
    return Bench()


MATCHES = [(95, Kind.JOINED), (110, Kind.JOINED), (111, Kind.EXPIRED), (9e9, Kind.EXPIRED)]


#  prediction a |----- horizon 10 s -----|          label at 110 -> joined; at 111 -> expired, never joined
#               100                      110 111
@pytest.mark.parametrize(
    ("at", "kind"), [(95, Kind.JOINED), (110, Kind.JOINED), (111, Kind.EXPIRED), (9e9, Kind.EXPIRED)]
)
def test_a_label_joins_within_the_horizon(bench, at, kind):
    """Its own time decides, not when it was read."""
    assert kinds(bench.predict("a", 100)) == [Kind.PREDICTED]
    assert kinds(bench.label("a", at)) == [kind]


@pytest.mark.parametrize(
    ("at", "kind"), [(95, Kind.JOINED), (110, Kind.JOINED), (111, Kind.EXPIRED), (9e9, Kind.EXPIRED)]
)
def test_a_label_may_come_before_its_prediction(bench, at, kind):
    """It is pending, then in the state in which it would have been at once."""
    assert kinds(bench.label("a", at)) == [Kind.PENDING]
    assert kinds(bench.predict("a", 100)) == [Kind.PREDICTED, kind]


def test_a_joined_label_tells_all_that_is_counted_of_it(bench):
    """Offsets, version, times, classes and the probability of the true class."""
    bench.predict("other", 99)
    bench.predict("a", 100, version=3, y_pred=1, score=0.75)
    (joined,) = bench.label("a", 105, y_true=0)
    assert (joined.prediction_offset, joined.label_offset, joined.version, joined.read) == (1, 0, 3, True)
    assert (joined.event_at, joined.at, joined.y_true, joined.y_pred, joined.p_true) == (100, 105, 0, 1, 0.25)


def test_the_probability_of_the_true_class_of_many():
    """Multiclass: from the float32 scores; NaN without; a regression has none."""
    bench = Bench(contract=contract(task="multiclass", classes=("a", "b", "c")))
    bench.predict("a", 100, y_pred=1, scores=struct.pack("<3f", 0.125, 0.5, 0.375), score=math.nan)
    (joined,) = bench.label("a", 100, y_true=2)
    assert (joined.y_pred, joined.y_true, joined.p_true) == (1, 2, 0.375)
    bench.predict("b", 100, scores=b"", score=math.nan)
    assert math.isnan(bench.label("b", 100, y_true=2)[0].p_true)
    bench = Bench(contract=contract(task="regression", classes=()))
    bench.predict("a", 100, y_pred=2.5, score=math.nan)
    (joined,) = bench.label("a", 100, y_true=-1.5)
    assert (joined.y_pred, joined.y_true) == (2.5, -1.5)
    assert math.isnan(joined.p_true)


def test_e_does_not_follow_event_times_far_ahead_of_their_records(bench):
    """An event from next year moves E by its record's time and a minute."""
    assert bench.ledger.event_time_s == -math.inf
    bench.predict("a", 1e9, timestamp=100)
    assert bench.ledger.event_time_s == 160
    bench.predict("b", 50)
    assert bench.ledger.event_time_s == 160


#  label a at 100 |----- waits -----|110
#  E                            109 110  110.5 -> orphan, at the prediction that moved E there
def test_a_label_is_an_orphan_once_e_has_passed_its_time(bench):
    """Passed means strictly beyond."""
    bench.label("a", 100)
    assert kinds(bench.predict("b", 110)) == [Kind.PREDICTED]
    _, orphan = bench.predict("c", 110.5)
    assert (orphan.kind, orphan.prediction_offset, orphan.label_offset, orphan.read) == (Kind.ORPHAN, 1, 0, False)
    assert kinds(bench.predict("a", 105)) == [Kind.PREDICTED]
    assert kinds(bench.label("a", 105)) == [Kind.DUPLICATE]


def test_a_label_whose_time_is_over_when_read_is_an_orphan(bench):
    """An id that was never seen."""
    bench.predict("b", 111)
    (orphan,) = bench.label("a", 100)
    assert (orphan.kind, orphan.read) == (Kind.ORPHAN, True)
    assert kinds(bench.label("a2", 101)) == [Kind.PENDING]


#  E              100 |   111 passes a's 110 |  a is predicted: too late to count for its label
@pytest.mark.parametrize("label_first", [True, False])
def test_a_prediction_that_comes_after_the_labels_time_does_not_count_for_it(bench, label_first):
    """Whether the label is read before E passes, or long after the prediction."""
    if label_first:
        bench.label("a", 100)
    bench.predict("b", 111)
    assert kinds(bench.predict("a", 100)) == [Kind.PREDICTED]
    if not label_first:
        assert kinds(bench.label("a", 100)) == [Kind.ORPHAN]
    assert kinds(bench.label("a", 103, y_true=0)) == [Kind.CONFLICTING]


def test_the_first_label_stands(bench):
    """Equal ones are duplicates, others conflicting; before and after the prediction came."""
    bench.label("a", 100, y_true=1)
    assert kinds(bench.label("a", 100, y_true=1)) == [Kind.DUPLICATE]
    bench.predict("a", 100)
    assert kinds(bench.label("a", 9e9, y_true=1)) == [Kind.DUPLICATE]
    assert kinds(bench.label("a", 100, y_true=0)) == [Kind.CONFLICTING]
    assert kinds(bench.label("a", 100, y_true=0)) == [Kind.CONFLICTING]


def test_copies_are_ignored_and_others_counted(bench):
    """Equal coordinates are a copy, of the first prediction or of a further one."""
    bench.predict("a", 100, source=1)
    assert bench.predict("a", 100, source=1) == []
    (duplicate,) = bench.predict("a", 101, source=2)
    assert (duplicate.kind, duplicate.prediction_offset) == (Kind.DUPLICATE_PREDICTION, 2)
    assert bench.predict("a", 101, source=2) == []
    bench.label("a", 100)
    assert bench.predict("a", 100, source=1) == []
    assert bench.predict("a", 101, source=2) == []
    assert kinds(bench.predict("a", 101, source=3)) == [Kind.DUPLICATE_PREDICTION]


def test_copies_move_e(bench):
    """E is over all predictions."""
    bench.predict("a", 100, source=1)
    bench.predict("a", 120, source=1)
    assert bench.ledger.event_time_s == 120


#  a |100 ---- remembered ---- 120| marker ...
#  E                           120 120.5 -> a label is too late, a prediction begins anew
def test_a_label_for_a_forgotten_id_is_too_late(bench):
    """An id is forgotten once E is beyond its event time and two horizons."""
    bench.predict("a", 100)
    bench.predict("a2", 100)
    bench.predict("b", 120)
    assert kinds(bench.label("a", 105)) == [Kind.JOINED]
    bench.predict("b2", 120.5)
    assert kinds(bench.label("a2", 105)) == [Kind.TOO_LATE]
    assert kinds(bench.label("a2", 105)) == [Kind.TOO_LATE]
    assert kinds(bench.label("a", 105)) == [Kind.TOO_LATE]


def test_a_forgotten_id_can_be_used_again(bench):
    """Its next prediction is a first one, with a label of its own; a copy of the old one stays a copy."""
    bench.predict("a", 100, source=1)
    bench.predict("b", 120.5)
    assert kinds(bench.predict("a", 119, source=2)) == [Kind.PREDICTED]
    assert bench.predict("a", 100, source=1) == []
    (joined,) = bench.label("a", 125)
    assert (joined.kind, joined.event_at, joined.prediction_offset) == (Kind.JOINED, 119, 2)
    assert kinds(bench.predict("a", 119, source=3)) == [Kind.DUPLICATE_PREDICTION]


def test_an_id_known_by_a_label_alone_is_forgotten_too(bench):
    """A later label is too late, a prediction begins anew."""
    for id_ in ("a", "a2"):
        bench.label(id_, 100)
    bench.predict("b", 120)
    assert kinds(bench.label("a", 100)) == [Kind.DUPLICATE]
    bench.predict("b2", 120.5)
    assert kinds(bench.label("a", 100)) == [Kind.TOO_LATE]
    assert kinds(bench.predict("a2", 119)) == [Kind.PREDICTED]
    assert kinds(bench.label("a2", 121)) == [Kind.JOINED]


def test_an_event_from_long_ago_is_counted_once(bench):
    """A late event's copies are known although its id was forgotten before it came."""
    bench.predict("b", 1000)
    assert kinds(bench.predict("a", 100, source=1)) == [Kind.PREDICTED]
    assert bench.predict("a", 100, source=1) == []
    assert kinds(bench.label("a", 100)) == [Kind.ORPHAN]


def test_copies_are_known_however_far_event_times_leap():
    """A batch of old events may span days, and be delivered again."""
    bench = Bench(copies_within=10)
    for _ in range(2):
        for n in range(4):
            assert kinds(bench.predict(f"a{n}", 10_000 * n, source=n)) == ([] if bench.p > 4 else [Kind.PREDICTED])
    for n in range(4, 12):
        bench.predict(f"a{n}", 10_000 * n, source=n)
    assert kinds(bench.predict("a0", 0, source=0)) == [Kind.PREDICTED]


def test_a_swept_id_makes_labels_too_late_and_not_orphans():
    """When E is 4 horizons and a minute beyond an id its entry goes: then an unknown id may have been known once."""
    store = DictStore()
    bench = Bench(store, copies_within=5)
    bench.predict("a", 100)
    bench.ledger.checkpoint()
    for at in (200, 201):
        assert entry_key("a") in store.items
        for n in range(20):
            bench.predict(f"b{n}", at, source=n)
        bench.ledger.checkpoint()
    assert entry_key("a") not in store.items
    assert kinds(bench.label("a", 105)) == [Kind.TOO_LATE]
    assert kinds(bench.label("c", 185)) == [Kind.ORPHAN]


def test_the_store_does_not_grow_beyond_what_is_remembered():
    """Sweeping keeps pace with reading."""
    store = DictStore()
    bench = Bench(store, copies_within=5)
    for batch in range(60):
        for n in range(20):
            bench.predict(f"{batch}-{n}", batch * 10 + n / 2)
            bench.label(f"{batch}-{n}", batch * 10 + n / 2)
        bench.ledger.checkpoint()
    alive_s = 4 * H + 60
    assert len(store.items) <= 2 * 2 * alive_s + 40
    assert bench.ledger.remembered <= 2 * alive_s + 40


def test_nothing_is_searched_for_old_entries_while_none_is_old():
    """The search for what is to be removed rests until something has come of age, and then finds all of it."""
    searches = []

    class Watched(DictStore):
        def scan(self, start, stop, limit):
            searches.extend([1] if stop == b"f" else [])
            return super().scan(start, stop, limit)

    bench = Bench(Watched(), copies_within=0)

    def days(*times):
        searches.clear()
        for time in times:
            bench.predict(f"p{bench.p}", time)
            bench.ledger.checkpoint()
        return len(searches)

    assert days(*range(100, 140)) == 0
    assert days(*[300] * 40) > 0
    assert len(bench.ledger._store.items) == 40 + 1


def test_a_ledger_goes_on_from_its_checkpoint():
    """What was added after it is forgotten, and read again; records that were read before are ignored."""
    store = DictStore()
    bench = Bench(store)
    bench.predict("a", 100)
    bench.label("b", 100)
    bench.ledger.checkpoint()
    bench.predict("lost", 500)
    again = Bench(store, waypoints=[Positions(1, 1)])
    assert again.ledger.positions == Positions(1, 1)
    assert again.ledger.event_time_s == 100
    again.p = 0
    assert again.predict("a", 100, source=99) == []
    assert kinds(again.label("a", 101)) == [Kind.JOINED]
    assert kinds(again.predict("c", 111)) == [Kind.PREDICTED, Kind.ORPHAN]


#  counted at (2, 1); checkpoint at (0, 0): nothing beyond (2, 1) is judged before both are reached
def test_records_beyond_what_was_counted_wait_until_all_of_that_is_read():
    """So a label cannot meet, on the second reading, a prediction that it did not meet on the first."""
    bench = Bench(waypoints=[Positions(2, 1)])
    for n in range(4):
        bench.predict(f"p{n}", 100 + n)
    assert bench.ledger.positions == Positions(2, 0)
    assert bench.ledger.deferred_predictions == 2
    assert kinds(bench.label("p3", 103)) == [Kind.PREDICTED, Kind.PREDICTED, Kind.JOINED]
    assert bench.ledger.positions == Positions(4, 1)
    assert (bench.ledger.deferred_predictions, bench.ledger.deferred_labels) == (0, 0)
    assert kinds(bench.label("p2", 103)) == [Kind.JOINED]


def test_labels_wait_likewise():
    """Both ways."""
    bench = Bench(waypoints=[Positions(1, 1), Positions(1, 2)])
    bench.label("a", 100)
    bench.label("b", 100)
    assert bench.label("c", 100) == []
    assert bench.ledger.deferred_labels == 2
    assert kinds(bench.predict("a", 100)) == [Kind.PENDING, Kind.PENDING]


def test_what_the_counts_hold_is_read_again_in_silence():
    """A rebuilt ledger tells how much it has still to read, and of nothing that was counted."""
    bench = Bench(waypoints=[Positions(3, 1)])
    assert bench.ledger.to_rebuild == Positions(3, 1)
    told = bench.predict("a", 100) + bench.label("b", 100) + bench.predict("b", 100)
    assert bench.ledger.to_rebuild == Positions(1, 0)
    told += bench.predict("b", 101)
    assert (told, bench.ledger.to_rebuild) == ([], Positions(0, 0))
    assert kinds(bench.label("b", 103)) == [Kind.DUPLICATE]
    assert bench.ledger.to_rebuild == Positions(0, 0)


def test_records_that_are_gone_are_not_waited_for():
    """Retention may have removed what was counted."""
    bench = Bench(waypoints=[Positions(5, 7)])
    bench.ledger.begin_at(Positions(5, 7))
    assert bench.ledger.positions == Positions(5, 7)
    bench.p = 5
    assert kinds(bench.predict("a", 100)) == [Kind.PREDICTED]


def test_a_state_ahead_of_what_was_counted_is_refused():
    """Counts that were lost can only be made again from the beginning."""
    store = DictStore()
    bench = Bench(store)
    bench.predict("a", 100)
    bench.ledger.checkpoint()
    with pytest.raises(CorruptStore, match="what was counted"):
        Ledger(store, contract())
    with pytest.raises(CorruptStore, match="the contract now says"):
        Ledger(store, contract(label_horizon_s=20.0), waypoints=[Positions(1, 0)])
    store.items[b"m"] = b"nonsense"
    with pytest.raises(CorruptStore, match="cannot be read"):
        Ledger(store, contract())


def test_the_oldest_are_dropped_when_there_are_too_many():
    """Exactness ends where `pending_dropped` begins: their labels cannot be joined."""
    store = DictStore()
    bench = Bench(store, pending_max=10)
    bench.label("waits", 95)
    found = []
    for n in range(20):
        found += bench.predict(f"a{n}", 100 + n / 10)
        if n == 2:
            found += bench.label("a2", 101)
    dropped = [each for each in found if each.kind is Kind.PENDING_DROPPED]
    assert sum(each.n for each in dropped) == 10
    assert sum(each.n_labels for each in dropped) == 1
    assert bench.ledger.remembered == 10
    assert kinds(bench.label("a19", 101)) == [Kind.JOINED]
    assert kinds(bench.label("a0", 101)) == [Kind.PENDING, Kind.PENDING_DROPPED]
    bench.ledger.checkpoint()
    assert kinds(bench.label("a5", 101)) == [Kind.PENDING, Kind.PENDING_DROPPED]
    bench.ledger.checkpoint()
    assert kinds(bench.predict("late", 200))[:3] == [Kind.PREDICTED, Kind.ORPHAN, Kind.ORPHAN]


@pytest.mark.parametrize(
    ("changes", "scores", "most"),
    [
        ({}, b"", 64),
        ({"task": "regression", "classes": ()}, b"", 64),
        ({"task": "multiclass", "classes": tuple("abcde")}, bytes(20), 64 + 20),
    ],
)
def test_an_event_takes_64_bytes_and_four_per_class(changes, scores, most):
    """Key and value together, with and without its label."""
    store = DictStore()
    bench = Bench(store, contract=contract(**changes))
    bench.predict("a", 100, scores=scores)
    bench.predict("b", 100, scores=scores)
    bench.label("b", 100)
    bench.label("c", 100)
    bench.ledger.checkpoint()
    entries = {key: value for key, value in store.items.items() if key[:1] == b"e"}
    assert len(entries) == 3
    assert all(len(key) + len(value) <= most for key, value in entries.items())
    assert age_of(entries[entry_key("b")], 1) == (100, 100)


def test_a_ledger_on_rocksdb_goes_on_after_it_was_closed(tmp_path):
    """The same answers as in memory."""
    path = tmp_path / "state" / "p-0"
    bench = Bench(RocksdictStore(path))
    bench.predict("a", 100)
    for n in range(300):
        bench.label(f"w{n}", 100 + n / 1000)
    bench.ledger.checkpoint()
    bench.ledger.close()
    bench = Bench(RocksdictStore(path), waypoints=[Positions(1, 300)])
    assert kinds(bench.label("a", 100)) == [Kind.JOINED]
    orphans = bench.predict("b", 110.25)
    assert kinds(orphans) == [Kind.PREDICTED] + [Kind.ORPHAN] * 250
    assert [each.label_offset for each in orphans[1:]] == list(range(250))
    bench.ledger.checkpoint()
    assert kinds(bench.predict("c", 111)) == [Kind.PREDICTED] + [Kind.ORPHAN] * 50
    bench.ledger.close()


def test_a_broken_store_is_named_and_can_be_deleted(tmp_path):
    """The caller deletes it and begins anew."""
    path = tmp_path / "p-0"
    bench = Bench(RocksdictStore(path))
    bench.predict("a", 100)
    bench.ledger.checkpoint()
    bench.ledger.close()
    (path / "CURRENT").write_bytes(b"MANIFEST-nonsense\n")
    with pytest.raises(CorruptStore, match="delete the directory"):
        RocksdictStore(path)
    delete_store(path)
    assert not path.exists()
    Bench(RocksdictStore(path)).ledger.close()


def test_a_store_belongs_to_one_process(tmp_path):
    """A second one that opens it must not take it for broken and delete it."""
    store = RocksdictStore(tmp_path / "p-0")
    with pytest.raises(Exception, match=r"(?i)lock") as caught:
        RocksdictStore(tmp_path / "p-0")
    assert not isinstance(caught.value, CorruptStore)
    store.close()
