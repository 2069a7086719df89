"""A small pipeline written by hand, whole and consistent, for the tests of the checker; and ways to break it.

Nothing here is computed by the checker or by the program: which label is in which state is fixed by construction.

    partition 0   t (s after START_S)  0    10   20  ...  100      ...        190 = E      horizon 100 s
                  events               e0   e1   e2       e10 (v2 from here)  e19
    partition 1   events f0 ... f9, 10 s apart, all labelled in time
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter, defaultdict
from functools import cache

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from verify.contract import parse_contract
from verify.events import Rules
from verify.pipeline import verify_pipeline
from verify.read import Record

START_S = 1_700_000_040
HORIZON_S = 100
WINDOWS_S = (60, 3600)
SWAP_S = START_S + 100.5
PANE = f"1/all/60/{START_S}/0".encode()
WEIGHTS = {1: ((1.0, -2.0), 0.25), 2: ((-0.5, 1.5), 0.1)}
BROKEN = {7: b"{no json", 8: b'{"id": "e8", "at": 1700000120, "a": 1.0}'}
TOPICS = ("features", "labels", "predictions", "dead-letters", "performance", "models", "model-bytes", "model-events")
N_PARTITIONS = {"performance": 1, "models": 1, "model-bytes": 1, "model-events": 1}
CONTRACT = """
name = "{name}"
task = "binary"
classes = ["good", "bad"]
id_field = "id"
key_field = "account"
event_time_field = "at"
event_time_format = "s"
label_horizon_s = 100
windows_s = [60, 3600]

[[features]]
name = "a"
low = -100
high = 100

[[features]]
name = "b"
path = "inner.b"
"""


@cache
def logistic_model(version):
    """An ONNX file: probabilities [N, 2] of a logistic regression over two floats."""
    weights, bias = WEIGHTS[version]
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["dot"]),
        helper.make_node("Add", ["dot", "bias"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["p"]),
        helper.make_node("Sub", ["one", "p"], ["q"]),
        helper.make_node("Concat", ["q", "p"], ["probabilities"], axis=1),
    ]
    constants = {"w": [[w] for w in weights], "bias": [bias], "one": [1.0]}
    graph = helper.make_graph(
        nodes,
        f"logistic {version}",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", 2])],
        [numpy_helper.from_array(np.array(value, np.float32), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return model.SerializeToString()


def probability(version, a, b):
    """What the model of *version* says, by arithmetic of 32 bits."""
    weights, bias = WEIGHTS[version]
    logit = np.float32(a) * np.float32(weights[0]) + np.float32(b) * np.float32(weights[1]) + np.float32(bias)
    return float(np.float32(1) / (np.float32(1) + np.exp(-logit)))


class HandMade:
    """The logs of the pipeline *name*: `records[topic word, partition]`; the list's index is the offset."""

    def __init__(self, name="toy"):
        self.name = name
        self.contract_text = CONTRACT.format(name=name)
        self.records = defaultdict(list)
        self.joined = defaultdict(list)
        """Partition -> (version, event_at, score, prediction, label) of what joined by construction."""
        self.predicted = defaultdict(list)
        """Partition -> (version, event_at) of the first prediction of every id."""
        self._write_models()
        self._write_partition(0, "e", 20)
        self._write_partition(1, "f", 10)
        self._label_partition_0()
        for number in range(10):
            self.label(1, f"f{number}", "good" if number % 3 else "bad", 10 * number + 1)
        self._write_performance()

    def append(self, topic, partition, key, value, timestamp_ms, headers=()):
        """Add a record and return it; the value is JSON unless it is bytes."""
        log = self.records[topic, partition]
        value = value if value is None or isinstance(value, bytes) else json.dumps(value).encode()
        log.append(Record(f"{self.name}.{topic}", partition, len(log), timestamp_ms, key, value, tuple(headers)))
        return log[-1]

    def amend(self, topic, partition, offset, *, drop_header=None, headers=None, content=None, **fields):
        """Change a record: fields as they are, *content* merged into its JSON value, *headers* into its headers."""
        record = self.records[topic, partition][offset]
        if content:
            merged = {**json.loads(record.value), **content}
            fields["value"] = json.dumps({name: value for name, value in merged.items() if value is not ...}).encode()
        if headers or drop_header:
            merged = {**dict(record.headers), **(headers or {})}
            fields["headers"] = tuple((name, value) for name, value in merged.items() if name != drop_header)
        self.records[topic, partition][offset] = record._replace(**fields)

    def remove(self, topic, partition, offset):
        """Take a record out; those after it move up."""
        log = self.records[topic, partition]
        del log[offset]
        log[:] = [record._replace(offset=number) for number, record in enumerate(log)]

    def find(self, topic, partition, text):
        """The offset of the last record whose key or value has *text*."""
        found = [r.offset for r in self.records[topic, partition] if text in (r.key or b"") + b"|" + (r.value or b"")]
        return found[-1]

    def label(self, partition, event_id, label, at_offset_s):
        """A label whose `at` is so many seconds after START_S."""
        at = START_S + at_offset_s
        self.append("labels", partition, b"acc", {"id": event_id, "label": label, "at": at}, int(at * 1000))

    def dead_letter(self, source, reason):
        """The dead letter of a record."""
        headers = [*coordinates(source), ("reason", reason.encode()), ("error", b"broken"), ("failed-at", b"1.5")]
        return self.append("dead-letters", source.partition, source.key, source.value, source.timestamp_ms, headers)

    def predict(self, event, event_id, version, a, b, event_at):
        """The prediction of a feature record."""
        score = probability(version, a, b)
        content = {
            "id": event_id,
            "model": self.name,
            "version": version,
            "prediction": "bad" if score >= 0.5 else "good",
            "score": score,
            "event_at": event_at,
            "scored_at": event.timestamp_ms / 1000 + 0.01,
        }
        headers = [*coordinates(event), ("model-sha256", digest_of(logistic_model(version)).encode())]
        self.append("predictions", event.partition, event.key, content, event.timestamp_ms, headers)
        return content

    def _write_models(self):
        for version in (1, 2):
            model = logistic_model(version)
            manifest = {
                "pipeline": self.name,
                "version": version,
                "sha256": digest_of(model),
                "size": len(model),
                "chunks": 2,
                "created_at": START_S - 200.0,
            }
            half = len(model) // 2
            for number, piece in enumerate((model[:half], model[half:])):
                self.append("model-bytes", 0, f"{digest_of(model)}/{number}".encode(), piece, (START_S - 200) * 1000)
            self.append("models", 0, f"release/{version}".encode(), manifest, (START_S - 200) * 1000)
            accepted = {"event": "accepted", "pipeline": self.name, "at": START_S, "worker": "w", "version": version}
            self.append("model-events", 0, self.name.encode(), accepted, START_S * 1000)
        for sequence, version, effective_s, stamped_s in ((1, 1, START_S, START_S - 100), (2, 2, SWAP_S, START_S + 90)):
            self.activate(sequence, version, effective_s, stamped_s)

    def activate(self, sequence, version, effective_from_s, stamped_s):
        """An activation record with its own Kafka timestamp."""
        content = {"sequence": sequence, "version": version, "effective_from_s": effective_from_s, "author": "me"}
        self.append("models", 0, f"activation/{sequence}".encode(), content, int(stamped_s * 1000))

    def _write_partition(self, partition, letter, n_events):
        for number in range(n_events):
            event_at = START_S + 10 * number
            # The tenth event of partition 0 says again the id of the fifth: a duplicate prediction.
            event_id = f"{letter}5" if (letter, number) == ("e", 10) else f"{letter}{number}"
            a, b = math.sin(number) * 2, math.cos(3 * number)
            content = {"id": event_id, "account": "acc", "at": event_at, "a": a, "inner": {"b": b}, "more": None}
            is_broken = letter == "e" and number in BROKEN
            value = BROKEN[number] if is_broken else content
            event = self.append("features", partition, b"acc", value, event_at * 1000 + 500)
            if is_broken:
                self.dead_letter(event, "not_json" if number == 7 else "bad_id")
                continue
            version = 2 if event.timestamp_ms / 1000 >= SWAP_S else 1
            made = self.predict(event, event_id, version, a, b, event_at)
            if event_id == f"{letter}{number}":
                self.predicted[partition].append((version, event_at))
                if letter == "f" or number in (0, 1, 3, 11, 12, 19):
                    truth = "bad" if number % 3 == 0 else "good"
                    self.joined[partition].append((version, event_at, made["score"], made["prediction"], truth))

    def _label_partition_0(self):
        for number in (0, 1, 3, 11, 12, 19):
            self.label(0, f"e{number}", "good" if number % 3 else "bad", 10 * number + 5)
        self.label(0, "e3", "bad", 40)  # duplicate
        self.label(0, "e3", "good", 41)  # conflicting
        self.label(0, "e2", "good", 150)  # expired: 130 s after its event
        self.label(0, "ghost", "good", 20)  # orphan: E is 170 s later
        self.label(0, "later", "bad", 150)  # pending: E is 40 s later
        self.label(0, "e4", "ugly", 50)
        self.dead_letter(self.records["labels", 0][-1], "bad_label")

    def _write_performance(self):
        states = {
            0: {"joined": 6, "duplicate": 1, "conflicting": 1, "expired": 1, "orphan": 1, "pending": 1},
            1: {"joined": 10},
        }
        for partition in (0, 1):
            positions = {
                "predictions": len(self.records["predictions", partition]),
                "labels": len(self.records["labels", partition]),
            }
            places = defaultdict(lambda: ([], []))
            for kind, items in enumerate((self.predicted[partition], self.joined[partition])):
                for item in items:
                    places[item[0], None, None][kind].append(item)
                    for window_s in WINDOWS_S:
                        places[item[0], window_s, int(item[1] // window_s * window_s)][kind].append(item)
            totals = {}
            for (version, window_s, start_s), (predicted, joined) in places.items():
                if window_s is None:
                    totals[str(version)] = counters(predicted, joined)
                    continue
                content = {
                    "version": version,
                    "slice": "all",
                    "window_s": window_s,
                    "start_s": start_s,
                    "end_s": start_s + window_s,
                    "partition": partition,
                    "positions": positions,
                    **counters(predicted, joined),
                    **rates(predicted, joined),
                }
                self.performance(f"{version}/all/{window_s}/{start_s}/{partition}", content)
            n_duplicates = 1 if partition == 0 else 0
            ledger = {"partition": partition, "positions": positions, **states[partition], "totals": totals}
            ledger |= {"duplicate_prediction": n_duplicates, "pending_dropped": 0}
            ledger["event_time_s"] = START_S + (190.0 if partition == 0 else 90.0)
            self.performance(f"ledger/{partition}", ledger)

    def performance(self, key, content):
        """A record of `performance`."""
        self.append("performance", 0, key.encode(), content, START_S * 1000)

    # --- the interface that the checks read logs by
    def partitions(self, topic):
        """Partitions of a topic of this pipeline."""
        word = topic.removeprefix(f"{self.name}.")
        return N_PARTITIONS.get(word, 2) if word in TOPICS else 0

    def start(self, topic, partition):
        """The first offset."""
        log = self.records[topic.removeprefix(f"{self.name}."), partition]
        return log[0].offset if log else 0

    def end(self, topic, partition):
        """The offset after the last record."""
        log = self.records[topic.removeprefix(f"{self.name}."), partition]
        return log[-1].offset + 1 if log else 0

    def committed(self, topic, partition):
        """As if the group had committed everything."""
        return self.end(topic, partition)

    def log_of(self, topic, partition):
        """The records as they are."""
        return iter(self.records[topic.removeprefix(f"{self.name}."), partition])

    def judge(self, *, rules=None, **options):
        """The checker's report on these logs."""
        logs = Logs(self)
        return verify_pipeline(logs, parse_contract(self.contract_text), rules or Rules(copies=False), **options)


class Logs:
    """The hand-made logs behind the interface of the checker."""

    def __init__(self, made):
        self._made = made
        self.partitions, self.start, self.end, self.committed = made.partitions, made.start, made.end, made.committed

    def records(self, topic, partition):
        """The records of a partition."""
        return self._made.log_of(topic, partition)


def digest_of(data):
    """SHA-256 in hex."""
    return hashlib.sha256(data).hexdigest()


def coordinates(record):
    """The headers that say where an outcome comes from."""
    return [
        ("source-topic", record.topic.encode()),
        ("source-partition", str(record.partition).encode()),
        ("source-offset", str(record.offset).encode()),
    ]


def counters(predicted, joined):
    """The additive counters of a pane."""
    confusion = defaultdict(Counter)
    for _, _, _, prediction, truth in joined:
        confusion[truth][prediction] += 1
    losses = [-math.log(score if truth == "bad" else 1 - score) for _, _, score, _, truth in joined]
    return {
        "predicted": len(predicted),
        "n": len(joined),
        "confusion": {truth: dict(row) for truth, row in confusion.items()},
        "n_log_loss": len(losses),
        "log_loss_sum": sum(losses),
    }


def rates(predicted, joined):
    """The rates of a pane, those without a denominator left out."""
    hits = [(prediction == truth, prediction == "bad", truth == "bad") for _, _, _, prediction, truth in joined]
    true_bad = sum(hit and called for hit, called, _ in hits)
    called, bad = sum(called for _, called, _ in hits), sum(bad for _, _, bad in hits)
    found = {"coverage": (len(joined), len(predicted)), "accuracy": (sum(hit for hit, _, _ in hits), len(hits))}
    found |= {"precision": (true_bad, called), "recall": (true_bad, bad), "f1": (2 * true_bad, called + bad)}
    found["log_loss"] = (counters(predicted, joined)["log_loss_sum"], len(joined))
    return {name: numerator / denominator for name, (numerator, denominator) in found.items() if denominator}


# --- one violation each: what is done, and the check and kind that must tell of it
def _prediction(made, text=b'"e3"'):
    return made.find("predictions", 0, text)


def _content(made, topic, partition, offset):
    return json.loads(made.records[topic, partition][offset].value)


def lose_event(made):
    """A prediction is gone."""
    made.remove("predictions", 0, _prediction(made, b'"e19"'))


def lose_dead_letter(made):
    """A dead letter is gone."""
    made.remove("dead-letters", 0, 0)


def double_event(made):
    """A prediction stands twice."""
    record = made.records["predictions", 0][_prediction(made)]
    made.append("predictions", 0, record.key, record.value, record.timestamp_ms, record.headers)


def both(made):
    """A scored event is a dead letter too."""
    made.dead_letter(made.records["features", 0][3], "wrong_type")


def from_nowhere(made):
    """A prediction of a record that is not there."""
    made.amend("predictions", 0, _prediction(made), headers={"source-offset": b"99"})


def foreign_topic(made):
    """A prediction of a record of another topic."""
    made.amend("predictions", 0, _prediction(made), headers={"source-topic": b"elsewhere"})


def wrong_partition(made):
    """A prediction stands in another partition than its event."""
    record = made.records["predictions", 0][_prediction(made)]
    made.append("predictions", 1, record.key, record.value, record.timestamp_ms, record.headers)


def wrong_key(made):
    """A prediction has another key than its event."""
    made.amend("predictions", 0, _prediction(made), key=b"somebody")


def wrong_timestamp(made):
    """A prediction's Kafka timestamp is not that of its event."""
    at = _prediction(made)
    made.amend("predictions", 0, at, timestamp_ms=made.records["predictions", 0][at].timestamp_ms + 1)


def wrong_id(made):
    """A prediction has another id than the contract gives."""
    made.amend("predictions", 0, _prediction(made, b'"e14"'), content={"id": "e14x"})


def wrong_event_at(made):
    """A prediction's event time is not that of the contract."""
    at = _prediction(made, b'"e14"')
    made.amend("predictions", 0, at, content={"event_at": START_S + 141})


def wrong_model(made):
    """A prediction is of another pipeline."""
    made.amend("predictions", 0, _prediction(made), content={"model": "other"})


def null_field(made):
    """A prediction has a null where absent is meant."""
    made.amend("predictions", 0, _prediction(made), content={"scores": None})


def no_score(made):
    """A binary prediction lacks its score."""
    made.amend("predictions", 0, _prediction(made), content={"score": ...})


def wrong_score(made):
    """A score is off by a thousandth."""
    at = _prediction(made)
    made.amend("predictions", 0, at, content={"score": _content(made, "predictions", 0, at)["score"] * 1.001})


def wrong_class(made):
    """A class is not the one of its score."""
    at = _prediction(made)
    other = {"good": "bad", "bad": "good"}[_content(made, "predictions", 0, at)["prediction"]]
    made.amend("predictions", 0, at, content={"prediction": other})


def wrong_class_and_score(made):
    """A class follows from a score that is not the model's."""
    at = _prediction(made)
    content = _content(made, "predictions", 0, at)
    other = {"good": "bad", "bad": "good"}[content["prediction"]]
    made.amend("predictions", 0, at, content={"prediction": other, "score": 1 - content["score"]})


def wrong_version(made):
    """An event after the swap is scored with the old version, consistently."""
    at = _prediction(made, b'"e15"')
    event = json.loads(made.records["features", 0][15].value)
    score = probability(1, event["a"], event["inner"]["b"])
    content = {"version": 1, "score": score, "prediction": "bad" if score >= 0.5 else "good"}
    made.amend("predictions", 0, at, content=content, headers={"model-sha256": digest_of(logistic_model(1)).encode()})


def late_activation_obeyed(made):
    """The swap came less than the lead ahead, so the old version had to serve on."""
    made.amend("models", 0, made.find("models", 0, b"activation/2"), timestamp_ms=int(SWAP_S * 1000) - 1999)


def refused_obeyed(made):
    """The second version was refused, so the old one had to serve on."""
    made.amend("model-events", 0, 1, content={"event": "refused", "reason": "not_onnx"})


def not_alike(made):
    """One worker refused what another accepted."""
    refused = {"event": "refused", "pipeline": made.name, "at": START_S, "worker": "v", "version": 1, "reason": "x"}
    made.append("model-events", 0, made.name.encode(), refused, START_S * 1000)


def accepted_broken(made):
    """A release is accepted although a byte of it is wrong."""
    made.amend("model-bytes", 0, 3, value=b"\0" + made.records["model-bytes", 0][3].value[1:])


def foreign_sha256(made):
    """A prediction names the bytes of another version."""
    made.amend("predictions", 0, _prediction(made), headers={"model-sha256": digest_of(b"other").encode()})


def bad_event_scored(made):
    """An event that breaks the contract is scored."""
    event = made.records["features", 0][3]
    made.amend("features", 0, 3, value=event.value.replace(b'"b":', b'"c":'))


def altered_bytes(made):
    """A dead letter has other bytes than its source."""
    made.amend("dead-letters", 0, 0, value=b"{no jsom")


def altered_key(made):
    """A dead letter has another key than its source."""
    made.amend("dead-letters", 0, 0, key=b"other")


def unknown_reason(made):
    """A dead letter's reason is none of the enum."""
    made.amend("dead-letters", 0, 0, headers={"reason": b"bad_luck"})


def wrong_reason(made):
    """A dead letter's reason is another than the contract gives."""
    made.amend("dead-letters", 0, 0, headers={"reason": b"not_object"})


def no_error_header(made):
    """A dead letter lacks a header."""
    made.amend("dead-letters", 0, 0, drop_header="error")


def undeserved(made):
    """A good event is a dead letter instead of a prediction."""
    at = _prediction(made, b'"e19"')
    made.remove("predictions", 0, at)
    made.dead_letter(made.records["features", 0][19], "scoring_failed")


def false_size(made):
    """A cut dead letter does not tell the size of its source."""
    record = made.records["dead-letters", 0][0]
    headers = {"truncated": b"true", "size": b"9999", "sha256": digest_of(record.value).encode()}
    made.amend("dead-letters", 0, 0, value=record.value[:3], headers=headers)


def lose_bad_label(made):
    """A label of no class has no dead letter."""
    made.remove("dead-letters", 0, 2)


def good_label_dead(made):
    """A good label is a dead letter."""
    made.dead_letter(made.records["labels", 0][0], "bad_label")


def _amend_row(made, key, **content):
    made.amend("performance", 0, made.find("performance", 0, key), content=content)


def wrong_state(made):
    """An expired label is counted as orphan."""
    _amend_row(made, b"ledger/0", expired=0, orphan=2)


def early_too_late(made):
    """A label is too late although its id is still remembered."""
    _amend_row(made, b"ledger/0", expired=0, too_late=1)


def wrong_duplicates(made):
    """A duplicate prediction is not counted."""
    _amend_row(made, b"ledger/0", duplicate_prediction=0)


def wrong_event_time(made):
    """E is not the greatest event time."""
    _amend_row(made, b"ledger/0", event_time_s=START_S + 180.0)


def behind(made):
    """The tallies have not counted the last label."""
    positions = {"predictions": len(made.records["predictions", 1]), "labels": len(made.records["labels", 1]) - 1}
    _amend_row(made, b"ledger/1", positions=positions)


def beyond(made):
    """The tallies claim to have counted what is not there."""
    positions = {"predictions": len(made.records["predictions", 1]), "labels": len(made.records["labels", 1]) + 1}
    _amend_row(made, b"ledger/1", positions=positions)


def joined_nowhere(made):
    """A label is counted as joined in the ledger and as too late in its panes."""
    for key in (f"2/all/60/{START_S + 180}/0", f"2/all/3600/{(START_S + 180) // 3600 * 3600}/0"):
        content = _content(made, "performance", 0, made.find("performance", 0, key.encode()))
        content["n"] -= 1
        row = next(row for row in content["confusion"].values() if row)
        row[next(iter(row))] -= 1
        _amend_row(made, key.encode(), n=content["n"], confusion=content["confusion"])


def wrong_counter(made):
    """A pane has counted one prediction too many."""
    content = _content(made, "performance", 0, made.find("performance", 0, PANE))
    predicted = content["predicted"] + 1
    _amend_row(made, PANE, predicted=predicted, coverage=content["n"] / predicted)


def wrong_confusion(made):
    """A pane has counted a hit as a miss, and its rates follow."""
    content = _content(made, "performance", 0, made.find("performance", 0, PANE))
    swapped = {
        truth: {{"good": "bad", "bad": "good"}[called]: n for called, n in row.items()}
        for truth, row in content["confusion"].items()
    }
    _amend_row(made, PANE, confusion=swapped)


def wrong_sum(made):
    """A sum of losses is off by a millionth."""
    content = _content(made, "performance", 0, made.find("performance", 0, PANE))
    factor = 1 + 1e-6
    _amend_row(made, PANE, log_loss_sum=content["log_loss_sum"] * factor, log_loss=content["log_loss"] * factor)


def missing_pane(made):
    """No record tells of a pane with predictions."""
    made.remove("performance", 0, made.find("performance", 0, PANE))


def tombstoned_pane(made):
    """A pane is tombstoned before its time."""
    made.append("performance", 0, PANE, None, START_S * 1000)


def unexpected_pane(made):
    """A record tells of a pane without predictions."""
    content = _content(made, "performance", 0, made.find("performance", 0, PANE))
    content |= {"version": 3}
    made.performance(PANE.decode().replace("1/all", "3/all"), content)


def stale_row_wins(made):
    """A row is only right at older positions than its newest, which is wrong."""
    content = _content(made, "performance", 0, made.find("performance", 0, PANE))
    offset = made.find("performance", 0, PANE)
    made.amend("performance", 0, offset, content={"predicted": content["predicted"] + 1})
    made.performance(PANE.decode(), {**content, "positions": {"predictions": 1, "labels": 0}})


def wrong_rate(made):
    """A rate does not follow from its counters."""
    _amend_row(made, PANE, accuracy=0.12345)


def missing_rate(made):
    """A rate is missing."""
    _amend_row(made, PANE, coverage=...)


def rate_of_nothing(made):
    """A rate stands although its denominator is 0."""
    _amend_row(made, PANE, mae=0.5)


def wrong_totals(made):
    """The totals of a version are off by one."""
    totals = _content(made, "performance", 0, made.find("performance", 0, b"ledger/0"))["totals"]
    totals["1"]["predicted"] += 1
    _amend_row(made, b"ledger/0", totals=totals)


def unexpected_version(made):
    """The totals name a version that predicted nothing."""
    totals = _content(made, "performance", 0, made.find("performance", 0, b"ledger/0"))["totals"]
    _amend_row(made, b"ledger/0", totals=totals | {"7": {"predicted": 1, "n": 0}})


def malformed_totals(made):
    """A count in the totals is no integer."""
    totals = _content(made, "performance", 0, made.find("performance", 0, b"ledger/0"))["totals"]
    totals["1"]["n"] = 2.5
    _amend_row(made, b"ledger/0", totals=totals)


def malformed_counter(made):
    """A count in a pane is no integer."""
    _amend_row(made, PANE, n="1")


def malformed_pane(made):
    """A pane's record says another end than its key."""
    _amend_row(made, PANE, end_s=START_S + 61)


def malformed_row(made):
    """A record of `performance` has no positions."""
    _amend_row(made, PANE, positions=...)


def malformed_ledger(made):
    """A count of labels is no integer."""
    _amend_row(made, b"ledger/0", joined="6")


def unknown_version(made):
    """A prediction is of a version that nobody released."""
    made.amend("predictions", 0, _prediction(made), content={"version": 7})


def letter_elsewhere(made):
    """A dead letter stands in another partition than its source."""
    record = made.records["dead-letters", 0][0]
    made.append("dead-letters", 1, record.key, record.value, record.timestamp_ms, record.headers)


def letter_from_elsewhere(made):
    """A dead letter is of a topic that is none of the pipeline."""
    made.amend("dead-letters", 0, 0, headers={"source-topic": b"elsewhere"})


def letter_of_nothing(made):
    """A dead letter is of a feature record that is not there."""
    made.amend("dead-letters", 0, 0, headers={"source-offset": b"77"})


def label_letter_of_nothing(made):
    """A dead letter is of a label that is not there."""
    made.amend("dead-letters", 0, 2, headers={"source-offset": b"77"})


def label_letter_reason(made):
    """A bad label's dead letter gives another reason."""
    made.amend("dead-letters", 0, 2, headers={"reason": b"bad_id"})


def label_letter_twice(made):
    """A bad label has two dead letters."""
    record = made.records["dead-letters", 0][2]
    made.append("dead-letters", 0, record.key, record.value, record.timestamp_ms, record.headers)


SEEDS = {
    lose_event: ("outcomes", "lost"),
    lose_dead_letter: ("outcomes", "lost"),
    double_event: ("outcomes", "doubled"),
    both: ("outcomes", "both"),
    from_nowhere: ("outcomes", "no_source"),
    foreign_topic: ("predictions", "no_source"),
    wrong_partition: ("predictions", "wrong_partition"),
    wrong_key: ("predictions", "wrong_key"),
    wrong_timestamp: ("predictions", "wrong_timestamp"),
    wrong_id: ("predictions", "wrong_id"),
    wrong_event_at: ("predictions", "wrong_event_at"),
    wrong_model: ("predictions", "wrong_model"),
    null_field: ("predictions", "malformed"),
    no_score: ("predictions", "malformed"),
    wrong_score: ("scores", "wrong_score"),
    wrong_class: ("predictions", "class_not_of_score"),
    wrong_class_and_score: ("scores", "wrong_class"),
    wrong_version: ("versions", "wrong_version"),
    late_activation_obeyed: ("versions", "wrong_version"),
    refused_obeyed: ("versions", "wrong_version"),
    not_alike: ("models", "not_alike"),
    accepted_broken: ("models", "accepted_broken"),
    foreign_sha256: ("versions", "foreign_sha256"),
    bad_event_scored: ("scores", "bad_event"),
    altered_bytes: ("dead_letters", "altered_bytes"),
    altered_key: ("dead_letters", "altered_key"),
    unknown_reason: ("dead_letters", "unknown_reason"),
    wrong_reason: ("dead_letters", "wrong_reason"),
    no_error_header: ("dead_letters", "malformed"),
    undeserved: ("dead_letters", "undeserved"),
    false_size: ("dead_letters", "altered_bytes"),
    lose_bad_label: ("labels", "lost"),
    good_label_dead: ("labels", "undeserved"),
    wrong_state: ("ledger", "wrong_state"),
    early_too_late: ("ledger", "wrong_state"),
    wrong_duplicates: ("ledger", "wrong_duplicates"),
    wrong_event_time: ("ledger", "wrong_event_time"),
    behind: ("ledger", "behind"),
    beyond: ("ledger", "beyond"),
    joined_nowhere: ("panes", "unequal"),
    wrong_counter: ("panes", "wrong_counter"),
    wrong_confusion: ("panes", "wrong_counter"),
    wrong_sum: ("panes", "wrong_counter"),
    missing_pane: ("panes", "missing_pane"),
    tombstoned_pane: ("panes", "missing_pane"),
    unexpected_pane: ("panes", "unexpected_pane"),
    stale_row_wins: ("panes", "wrong_counter"),
    wrong_rate: ("panes", "wrong_rate"),
    missing_rate: ("panes", "missing_rate"),
    rate_of_nothing: ("panes", "rate_of_nothing"),
    wrong_totals: ("totals", "wrong_counter"),
    unexpected_version: ("totals", "unexpected_version"),
    malformed_totals: ("totals", "malformed"),
    malformed_counter: ("panes", "malformed"),
    malformed_pane: ("panes", "malformed"),
    malformed_row: ("panes", "malformed"),
    malformed_ledger: ("panes", "malformed"),
    unknown_version: ("versions", "unknown_version"),
    letter_elsewhere: ("dead_letters", "wrong_partition"),
    letter_from_elsewhere: ("dead_letters", "no_source"),
    letter_of_nothing: ("outcomes", "no_source"),
    label_letter_of_nothing: ("labels", "no_source"),
    label_letter_reason: ("labels", "wrong_reason"),
    label_letter_twice: ("labels", "doubled"),
}
