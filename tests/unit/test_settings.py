"""Settings: where they come from, what they refuse, and how they say so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, SecretStr, ValidationError

from app.errors import ConfigurationError
from app.settings import MASK, Settings


def load(flags=None, *, environ=None, cwd=Path("/nonexistent"), **more):
    return Settings.load(flags, environ=environ or {}, cwd=cwd, **more)


@pytest.fixture(scope="module", name="folder")
def _folder(tmp_path_factory):
    return tmp_path_factory.mktemp("settings")


SETTINGS = {
    "broker": (st.sampled_from(["a:1", "b:2,c:3", "[::1]:9092"]), str),
    "app_id": (st.sampled_from(["one", "two.x", "three-3"]), str),
    "partitions": (st.integers(1, 99), str),
    "commit_interval_s": (st.sampled_from([0.25, 1.5, 60.0]), str),
    "create_topics": (st.booleans(), lambda value: str(value).lower()),
}


@st.composite
def sources(draw):
    """For some settings, a value in each of some of the three sources, weakest first: file, environment, flags."""
    return {
        name: draw(st.lists(st.one_of(st.none(), values), min_size=3, max_size=3))
        for name, (values, _) in SETTINGS.items()
    }


@given(given_values=sources())
def test_the_strongest_source_that_names_a_setting_wins(folder, given_values):
    """Defaults < faust-onnx.toml < environment < flags, for each setting by itself, and the origin says which."""
    toml, environ, flags = [], {}, {}
    for name, (in_file, in_environ, in_flags) in given_values.items():
        text = SETTINGS[name][1]
        if in_file is not None:
            toml.append(f"{name} = {json.dumps(in_file)}")
        if in_environ is not None:
            environ[f"FAUST_ONNX_{name.upper()}"] = text(in_environ)
        flags[name] = None if in_flags is None else text(in_flags)
    (folder / "faust-onnx.toml").write_text("\n".join(toml))

    settings = load(flags, environ=environ, cwd=folder)

    for name, (in_file, in_environ, in_flags) in given_values.items():
        expected = [(Settings.model_fields[name].default, "default")]
        expected += [(in_file, "faust-onnx.toml")] if in_file is not None else []
        expected += [(in_environ, f"environment FAUST_ONNX_{name.upper()}")] if in_environ is not None else []
        expected += [(in_flags, f"flag --{name.replace('_', '-')}")] if in_flags is not None else []
        assert (getattr(settings, name), settings.origins[name]) == expected[-1]


def test_the_defaults_are_the_documented_ones():
    """Without any source the program points at a local Kafka and listens on loopback."""
    settings = load()

    assert settings.brokers == ("127.0.0.1:9092",)
    assert settings.http_address == ("127.0.0.1", 8080)
    assert settings.app_id == "faust-onnx"
    assert settings.delivery == "at_least_once"
    assert settings.pipelines == ()
    assert set(settings.origins.values()) == {"default"}


def test_settings_cannot_be_changed():
    """Settings are frozen."""
    with pytest.raises(ValidationError):
        load().broker = "other:9092"


@pytest.mark.parametrize(
    ("text", "names"), [("fraud", ("fraud",)), (" fraud , churn,", ("fraud", "churn")), ("a.b-c_d", ("a.b-c_d",))]
)
def test_pipelines_are_a_comma_list(text, names):
    """Blanks around names and a comma too many do no harm."""
    assert load(environ={"FAUST_ONNX_PIPELINES": text}).pipelines == names


def test_pipelines_are_a_list_in_toml(tmp_path):
    """TOML has lists, so a list is taken."""
    (tmp_path / "faust-onnx.toml").write_text('pipelines = ["fraud", "churn"]\nmax_record_bytes = "2MiB"\n')

    settings = load(cwd=tmp_path)

    assert (settings.pipelines, settings.max_record_bytes) == (("fraud", "churn"), 2 << 20)


def test_an_empty_variable_counts_as_not_set():
    """Compose files pass on variables that nobody set as empty strings."""
    assert load(environ={"FAUST_ONNX_BROKER": "", "FAUST_ONNX_PARTITIONS": ""}) == load()


def test_variables_of_other_programs_are_left_alone():
    """Only our own prefix is read; Faust's generic names are none of ours."""
    assert load(environ={"BROKER": "x", "WEB_PORT": "tcp://1.2.3.4:80", "FAUST_DATADIR": "/x"}) == load()


def test_the_variables_that_kubernetes_injects_for_a_service_of_our_name_are_left_alone():
    """A service named `faust-onnx` or `faust-onnx-worker` must not keep its own pods from starting."""
    injected = {
        "FAUST_ONNX_SERVICE_HOST": "10.0.0.1",
        "FAUST_ONNX_SERVICE_PORT": "8080",
        "FAUST_ONNX_SERVICE_PORT_HTTP": "8080",
        "FAUST_ONNX_PORT": "tcp://10.0.0.1:8080",
        "FAUST_ONNX_PORT_8080_TCP": "tcp://10.0.0.1:8080",
        "FAUST_ONNX_PORT_8080_TCP_PROTO": "tcp",
        "FAUST_ONNX_PORT_8080_TCP_PORT": "8080",
        "FAUST_ONNX_PORT_8080_TCP_ADDR": "10.0.0.1",
        "FAUST_ONNX_WORKER_SERVICE_HOST": "10.0.0.2",
        "FAUST_ONNX_WORKER_PORT": "tcp://10.0.0.2:8080",
    }

    assert load(environ=injected) == load()


def test_the_variables_of_the_test_suite_are_left_alone():
    """Programs that tests start inherit them."""
    assert load(environ={"FAUST_ONNX_TEST_BROKER": "a:1"}) == load()


@pytest.mark.parametrize(
    ("environ", "text"),
    [
        ({"FAUST_ONNX_HTTP": "abc"}, "FAUST_ONNX_HTTP=abc: must be host:port, for example 127.0.0.1:8080"),
        ({"FAUST_ONNX_HTTP": "http://x:80"}, "FAUST_ONNX_HTTP=http://x:80: must be host:port"),
        ({"FAUST_ONNX_HTTP": "x:65536"}, "FAUST_ONNX_HTTP=x:65536: must be host:port"),
        ({"FAUST_ONNX_BROKER": "a:1,b"}, "FAUST_ONNX_BROKER=a:1,b: must be host:port[,host:port...]"),
        ({"FAUST_ONNX_BROKER": "a:0"}, "FAUST_ONNX_BROKER=a:0: must be host:port[,host:port...]"),
        ({"FAUST_ONNX_DELIVERY": "at_most_once"}, "FAUST_ONNX_DELIVERY=at_most_once: must be at_least_once"),
        ({"FAUST_ONNX_PIPELINES": "a,a"}, "FAUST_ONNX_PIPELINES=a,a: must be names of pipelines"),
        ({"FAUST_ONNX_PIPELINES": "../etc"}, "FAUST_ONNX_PIPELINES=../etc: must be names of pipelines"),
        ({"FAUST_ONNX_PARTITIONS": "0"}, "FAUST_ONNX_PARTITIONS=0: must be a whole number of at least 1"),
        ({"FAUST_ONNX_COMMIT_INTERVAL_S": "nan"}, "FAUST_ONNX_COMMIT_INTERVAL_S=nan: must be a number of seconds"),
        ({"FAUST_ONNX_LOG_FORMAT": "xml"}, "FAUST_ONNX_LOG_FORMAT=xml: must be console or json"),
        ({"FAUST_ONNX_APP_ID": "a b"}, "FAUST_ONNX_APP_ID=a b: must be 1 to 200 of the characters"),
        ({"FAUST_ONNX_BROKERS": "a:1"}, "FAUST_ONNX_BROKERS: unknown setting; did you mean FAUST_ONNX_BROKER?"),
        ({"FAUST_ONNX_PORT": "8080"}, "FAUST_ONNX_PORT: unknown setting"),
        ({"FAUST_ONNX_MODEL_CACHE_BYTES": "1"}, "model_cache_bytes (1) must be at least max_model_bytes"),
    ],
)
def test_a_wrong_variable_is_named_as_it_was_given(environ, text):
    """The error repeats the variable and its value, and says what it must be."""
    with pytest.raises(ConfigurationError) as raised:
        load(environ=environ)

    assert text in str(raised.value)


@pytest.mark.parametrize(
    ("toml", "text"),
    [
        ('http = "abc"', 'faust-onnx.toml: http = "abc": must be host:port, for example 127.0.0.1:8080'),
        (
            "partitions = true",
            "faust-onnx.toml: partitions = true: must be a whole number of at least 1, for example 4",
        ),
        ("partitions = 1.5", "faust-onnx.toml: partitions = 1.5: must be a whole number of at least 1, for example 4"),
        ("pipelines = [1]", "faust-onnx.toml: pipelines = [1]: must be names of pipelines"),
        ("brokr = 1", "faust-onnx.toml: brokr: unknown setting; did you mean broker?"),
        ("[broker]\nhost = 1", "faust-onnx.toml: broker = "),
        ("broker =", "faust-onnx.toml: cannot be read as TOML"),
    ],
)
def test_a_wrong_line_of_the_file_is_named_as_it_was_given(tmp_path, toml, text):
    """The error names the file, the setting and the value as TOML has it."""
    (tmp_path / "faust-onnx.toml").write_text(toml)

    with pytest.raises(ConfigurationError) as raised:
        load(cwd=tmp_path)

    assert text in str(raised.value)


def test_a_wrong_flag_is_named_as_it_was_given():
    """The error repeats the flag; several faults are told at once."""
    with pytest.raises(ConfigurationError) as raised:
        load({"models_dir": "m", "http": "abc", "partitions": "x"})

    assert str(raised.value).splitlines() == [
        "--http abc: must be host:port, for example 127.0.0.1:8080",
        "--partitions x: must be a whole number of at least 1, for example 4",
    ]


def test_a_named_file_is_read_in_place_of_the_one_in_the_folder(tmp_path):
    """`--config FILE` says which file, relative to the working directory."""
    (tmp_path / "faust-onnx.toml").write_text('app_id = "a"')
    (tmp_path / "other.toml").write_text('app_id = "b"')

    settings = load(cwd=tmp_path, config_file=Path("other.toml"))

    assert (settings.app_id, settings.origins["app_id"]) == ("b", "other.toml")


def test_a_named_file_must_exist(tmp_path):
    """A mistyped `--config` is an error, not an empty file."""
    with pytest.raises(ConfigurationError, match=r"--config other\.toml: there is no such file"):
        load(cwd=tmp_path, config_file=Path("other.toml"))


class WithSecret(Settings):
    """Settings with a secret among them."""

    password: SecretStr = Field(SecretStr(""), max_length=8, examples=["secret"])


def test_a_secret_is_never_shown():
    """Neither the list of settings nor an error about one repeats a secret."""
    shown = WithSecret.load(environ={"FAUST_ONNX_PASSWORD": "hunter2"}, cwd=Path("/nonexistent"))
    with pytest.raises(ConfigurationError) as raised:
        WithSecret.load({"password": "correct horse"}, environ={}, cwd=Path("/nonexistent"))

    assert shown.password.get_secret_value() == "hunter2"
    assert shown.shown()["password"] == MASK
    assert "hunter2" not in repr(shown)
    assert f"--password {MASK}: " in str(raised.value)
    assert "horse" not in str(raised.value)
