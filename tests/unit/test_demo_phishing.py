"""The demo's data: real, and split so that no model ever saw what is streamed."""

from app.demo.phishing import CLASSES, load_cases


def test_every_row_of_the_file_is_used_once():
    """The 1,250 rows are all there, each either for training or for the stream."""
    cases = load_cases()

    rows = sorted(case.row for part in cases for case in part)

    assert rows == list(range(1250))


def test_no_feature_vector_is_in_both_parts():
    """The split is by distinct feature vector: what a model learned from is never streamed."""
    cases = load_cases()

    learned = {case.features for case in cases.training}
    streamed = {case.features for case in cases.streamed}

    assert len(learned) + len(streamed) == 625
    assert not learned & streamed


def test_the_streamed_part_is_large_and_has_both_classes():
    """The stream is no corner of the data: most vectors, and plenty of either class."""
    labels = [case.label for case in load_cases().streamed]

    assert len(labels) > 600
    assert min(labels.count(name) for name in CLASSES) > 200
