"""The hand-made pipeline of verify_hand_made, joined by id: labels without keys, in other partitions than their events.

    labels 3 partitions  --+
                           +-> ledger 2 partitions: ids of the e-events in 0, of the f-events in 1, as before
    predictions 2        --+

So every label is in the state that it was in before, and only what is told of positions differs.
"""

from __future__ import annotations

import json

from aiokafka.partitioner import murmur2

from tests.verify_hand_made import HandMade, coordinates

WIDTHS = {"labels": 3, "dead-letters": 3, "ledger": 2, "features": 2, "predictions": 2}
TOPICS = (*WIDTHS, "performance", "models", "model-bytes", "model-events")


class ByIdHandMade(HandMade):
    """The same records, with the ledger topic between predictions and labels and what is counted of them."""

    def __init__(self, name="toy"):
        super().__init__(name)
        self.contract_text = self.contract_text.replace('task = "binary"', 'task = "binary"\njoin = "by-id"')
        self._names = {}
        for word in ("features", "predictions", "labels", "dead-letters"):
            for partition in (0, 1):
                self._rename(word, partition)
        self._scatter_labels()
        for partition in (0, 1):
            self._write_ledger(partition)
            n = len(self.records["ledger", partition])
            for offset, record in enumerate(self.records["performance", 0]):
                if json.loads(record.value)["partition"] == partition:
                    self.amend("performance", 0, offset, content={"positions": {"predictions": n, "labels": n}})

    def id_of(self, name):
        """The id of what verify_hand_made calls *name*."""
        return self._names[name]

    def partitions(self, topic):
        """Partitions of a topic of this pipeline."""
        word = topic.removeprefix(f"{self.name}.")
        return WIDTHS.get(word, 1) if word in TOPICS else 0

    def _rename(self, word, partition):
        """Give each id of a partition a name that murmur2 puts into the same partition of the ledger topic."""
        for offset, record in enumerate(self.records[word, partition]):
            try:
                id_ = json.loads(record.value)["id"]
            except (ValueError, KeyError):
                continue
            wanted = 1 if id_.startswith("f") else 0
            names = (f"{id_}{'.' * n}" for n in range(100))
            new = self._names.setdefault(id_, next(name for name in names if partition_of(name) == wanted))
            self.amend(word, partition, offset, content={"id": new})

    def _scatter_labels(self):
        """Labels without a key, one after the other over three partitions; their dead letters follow them."""
        labels = [record for partition in (0, 1) for record in self.records["labels", partition]]
        letters = {}
        for partition in (0, 1):
            log = self.records["dead-letters", partition]
            for record in [record for record in log if dict(record.headers)["source-topic"].endswith(b".labels")]:
                letters[dict(record.headers)["source-offset"], partition] = record
                self.remove("dead-letters", partition, log.index(record))
            self.records["labels", partition] = []
        for number, label in enumerate(labels):
            moved = self.append("labels", number % 3, None, label.value, label.timestamp_ms)
            if letter := letters.get((str(label.offset).encode(), label.partition)):
                headers = {**dict(letter.headers), **dict(coordinates(moved))}
                self.append("dead-letters", moved.partition, None, letter.value, letter.timestamp_ms, headers.items())
        self._in_order = [
            (record.partition, offset)
            for record, offset in ((self.records["labels", n % 3][n // 3], n // 3) for n in range(len(labels)))
        ]

    def _write_ledger(self, partition):
        """Of each kind in its own order; in partition 1 the labels come first."""
        predictions = [record for p in (0, 1) for record in self.records["predictions", p]]
        labels = [self.records["labels", p][offset] for p, offset in self._in_order]
        for record in labels + predictions if partition else predictions + labels:
            content = json.loads(record.value)
            if partition_of(content["id"]) == partition and content.get("label") != "ugly":
                self.rekey(record)

    def rekey(self, record, partition=None):
        """The record of the ledger topic that *record* becomes, in its id's partition unless told otherwise."""
        content = json.loads(record.value)
        id_ = content.pop("id")
        headers = [*coordinates(record)]
        if "label" not in content:
            del content["model"], content["scored_at"]
            headers += [
                (name.replace("source", "event"), value) for name, value in record.headers if name.startswith("source-")
            ]
        partition = partition_of(id_) if partition is None else partition
        return self.append("ledger", partition, id_.encode(), content, record.timestamp_ms, headers)

    def find_rekeyed(self, partition, name, field):
        """The offset of the first record of *name* on the ledger topic that has *field*."""
        key = self.id_of(name).encode()
        return next(
            r.offset for r in self.records["ledger", partition] if r.key == key and field in json.loads(r.value)
        )


def partition_of(id_):
    """The partition of the ledger topic that an id belongs to."""
    return (murmur2(id_.encode()) & 0x7FFFFFFF) % WIDTHS["ledger"]


# --- one violation each: what is done, and the check and kind that must tell of it
def lost_prediction(made):
    """A prediction is not on the ledger topic."""
    made.remove("ledger", 0, made.find_rekeyed(0, "e3", "prediction"))


def lost_label(made):
    """A label is not on the ledger topic."""
    made.remove("ledger", 0, made.find_rekeyed(0, "e3", "label"))


def not_yet(made):
    """The last label of a partition is not on the ledger topic."""
    last = made.records["labels", 0][-1]
    log = made.records["ledger", 1]
    at = next(r.offset for r in log if dict(coordinates(last)).items() <= dict(r.headers).items())
    made.remove("ledger", 1, at)


def doubled_prediction(made):
    """A prediction is on the ledger topic twice."""
    record = made.records["ledger", 0][made.find_rekeyed(0, "e3", "prediction")]
    made.append("ledger", 0, record.key, record.value, record.timestamp_ms, record.headers)


def doubled_label(made):
    """A label is on the ledger topic twice, once in another partition."""
    record = made.records["ledger", 0][made.find_rekeyed(0, "e1", "label")]
    made.append("ledger", 1, record.key, record.value, record.timestamp_ms, record.headers)


def wrong_partition(made):
    """A label is not where its id belongs."""
    at = made.find_rekeyed(0, "e19", "label")
    record = made.records["ledger", 0][at]
    made.remove("ledger", 0, at)
    made.append("ledger", 1, record.key, record.value, record.timestamp_ms, record.headers)


def altered_label(made):
    """A label says something else than on its topic."""
    made.amend("ledger", 0, made.find_rekeyed(0, "e3", "label"), content={"label": "good"})


def altered_at(made):
    """A label's time is not its own."""
    made.amend("ledger", 0, made.find_rekeyed(0, "e3", "label"), content={"at": 1_700_000_000.0})


def altered_score(made):
    """A prediction's score is another one."""
    made.amend("ledger", 0, made.find_rekeyed(0, "e3", "prediction"), content={"score": 0.5})


def altered_key(made):
    """A prediction goes under another id."""
    made.amend("ledger", 0, made.find_rekeyed(0, "e3", "prediction"), key=made.id_of("e1").encode())


def altered_timestamp(made):
    """A prediction's Kafka timestamp is another one, so E may be too."""
    made.amend("ledger", 0, made.find_rekeyed(0, "e3", "prediction"), timestamp_ms=1)


def altered_event(made):
    """A prediction is said to be of another event, so that it may pass for a copy."""
    made.amend("ledger", 0, made.find_rekeyed(0, "e3", "prediction"), headers={"event-offset": b"1"})


def from_nowhere(made):
    """A record of the ledger topic is of a label that is not there."""
    record = made.records["ledger", 0][made.find_rekeyed(0, "e1", "label")]
    headers = {**dict(record.headers), "source-offset": b"999"}
    made.append("ledger", 0, record.key, record.value, record.timestamp_ms, headers.items())


def bad_label_rekeyed(made):
    """A label of no class is on the ledger topic under a class."""
    at = next(r for p in range(3) for r in made.records["labels", p] if b"ugly" in r.value)
    made.rekey(at._replace(value=at.value.replace(b"ugly", b"good")))


def malformed(made):
    """A record of the ledger topic does not say where it comes from."""
    made.append("ledger", 0, b"x", {"label": "good", "at": 1_700_000_000.0}, 1_700_000_000_000)


def disorder(made):
    """Two labels of one partition have changed places."""
    log = made.records["ledger", 0]
    of_first = [r for r in log if dict(r.headers)["source-topic"].endswith(b".labels")]
    one = of_first[0]
    other = next(
        r for r in of_first[1:] if dict(r.headers)["source-partition"] == dict(one.headers)["source-partition"]
    )
    log[one.offset], log[other.offset] = other._replace(offset=one.offset), one._replace(offset=other.offset)


def counted_otherwise(made):
    """An expired label is counted as an orphan."""
    made.amend("performance", 0, made.find("performance", 0, b"ledger/0"), content={"expired": 0, "orphan": 2})


def behind(made):
    """The last record of the ledger topic is not counted."""
    n = len(made.records["ledger", 1]) - 1
    at = made.find("performance", 0, b"ledger/1")
    made.amend("performance", 0, at, content={"positions": {"predictions": n, "labels": n}})


def two_positions(made):
    """The positions in one topic are two."""
    n = len(made.records["ledger", 1])
    at = made.find("performance", 0, b"ledger/1")
    made.amend("performance", 0, at, content={"positions": {"predictions": n, "labels": n - 1}})


def lost_dead_letter(made):
    """A bad label has no dead letter."""
    for partition in range(3):
        for record in list(made.records["dead-letters", partition]):
            if dict(record.headers)["source-topic"].endswith(b".labels"):
                made.remove("dead-letters", partition, record.offset)


SEEDS = {
    lost_prediction: ("rekeyed", "lost"),
    lost_label: ("rekeyed", "lost"),
    not_yet: ("rekeyed", "behind"),
    doubled_prediction: ("rekeyed", "doubled"),
    doubled_label: ("rekeyed", "doubled"),
    wrong_partition: ("rekeyed", "wrong_partition"),
    altered_label: ("rekeyed", "altered"),
    altered_at: ("rekeyed", "altered"),
    altered_score: ("rekeyed", "altered"),
    altered_key: ("rekeyed", "altered"),
    altered_timestamp: ("rekeyed", "altered"),
    altered_event: ("rekeyed", "altered"),
    from_nowhere: ("rekeyed", "no_source"),
    bad_label_rekeyed: ("rekeyed", "no_source"),
    malformed: ("rekeyed", "malformed"),
    disorder: ("rekeyed", "disorder"),
    counted_otherwise: ("ledger", "wrong_state"),
    behind: ("ledger", "behind"),
    two_positions: ("ledger", "unequal_positions"),
    lost_dead_letter: ("labels", "lost"),
}
