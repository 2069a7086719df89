"""Which topics two pipelines of one group may have in common, and what is said when they may not."""

import pytest

from app.errors import ConfigurationError
from app.features import Contract
from app.topology.strangers import refuse_shared_topics, stranger_in

TEXT = """
name = "{name}"
task = "regression"
label_horizon_s = 60
join = "{join}"
features = [{{ name = "a" }}]
[topics]
{topics}
"""


@pytest.fixture
def contract(tmp_path):
    """Makes a contract of a name; keywords name its topics."""

    def make(name, join="keyed", **topics):
        path = tmp_path / f"{name}.toml"
        lines = "\n".join(f'{key} = "{topic}"' for key, topic in topics.items())
        path.write_text(TEXT.format(name=name, join=join, topics=lines))
        return Contract.load(path)

    return make


def members(*contracts):
    """What a worker of *contracts* subscribes to."""
    return {
        topic for each in contracts for topic in (each.topics.features, each.topics.labels, each.topics.predictions)
    }


@pytest.mark.parametrize(
    ("theirs", "topic"),
    [
        ({"features": "payments"}, "payments"),
        ({"labels": "chargebacks"}, "chargebacks"),
        ({"features": "fraud.predictions"}, "fraud.predictions"),
        ({"labels": "payments"}, "payments"),
    ],
)
def test_one_worker_has_one_pipeline_for_each_topic(contract, theirs, topic):
    """Both are named, the topic, and what to do instead."""
    fraud = contract("fraud", features="payments", labels="chargebacks")
    other = contract("churn", **theirs)
    with pytest.raises(ConfigurationError) as refused:
        refuse_shared_topics({"fraud": fraud, "churn": other})
    said = str(refused.value)
    assert f"topic {topic} is consumed by pipeline churn and by fraud" in said
    assert "FAUST_ONNX_PIPELINES=churn with FAUST_ONNX_APP_ID=faust-onnx-churn" in said


def test_pipelines_with_topics_of_their_own_live_in_one_worker(contract):
    """Also where one begins with what another has given up."""
    refuse_shared_topics(
        {
            "fraud": contract("fraud"),
            "churn": contract("churn", join="by-id"),
            "second": contract("second", features="fraud.dead-letters"),
        }
    )


def test_a_member_that_consumes_a_topic_for_another_pipeline_is_a_stranger(contract):
    """It is told by its predictions topic, which those of one pipeline have in common."""
    fraud, other = contract("fraud", features="payments"), contract("churn", features="payments")
    problem = stranger_in([members(fraud), members(other)], {"fraud": fraud})
    assert "topic payments is consumed by pipeline fraud and by churn" in problem


def test_members_of_other_pipelines_and_of_an_earlier_contract_are_none(contract):
    """Workers may serve different pipelines of one group, and be replaced one by one by those of a new contract."""
    fraud, churn, before = contract("fraud"), contract("churn"), contract("fraud", features="payments")
    assert (
        stranger_in([members(fraud), members(churn), members(fraud, churn), members(before), set()], {"fraud": fraud})
        is None
    )
