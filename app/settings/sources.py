"""Where settings come from, and how to speak of a wrong one in the form in which it was given."""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic_settings import BaseSettings, EnvSettingsSource

from app.errors import ConfigurationError
from app.settings.types import Must

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pydantic import ValidationError
    from pydantic.fields import FieldInfo

ENV_PREFIX = "FAUST_ONNX_"
CONFIG_FILE = "faust-onnx.toml"
MASK = "********"

_OF_THE_TESTS = f"{ENV_PREFIX}TEST_"
"""Variables for the test suite, which programs started by tests inherit."""
_INJECTED_BY_KUBERNETES = re.compile(
    rf"{ENV_PREFIX}(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
)


class Given(NamedTuple):
    """A value somebody gave, with the words for where, and the form in which they wrote it."""

    value: Any
    origin: str
    form: str


class _Environment(EnvSettingsSource):
    """The variables of *environ* that are settings, empty ones left out."""

    def __init__(self, settings_cls: type[BaseSettings], environ: Mapping[str, str]) -> None:
        self._environ = environ
        super().__init__(settings_cls)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return {name.lower(): value for name, value in self._environ.items() if name.startswith(ENV_PREFIX) and value}


def from_file(cls: type[BaseSettings], config_file: Path | None, cwd: Path) -> dict[str, Given]:
    """The settings in the TOML file, of which there need be none unless it was named."""
    path = cwd / (config_file or CONFIG_FILE)
    shown = str(config_file or CONFIG_FILE)
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if config_file is None:
            return {}
        raise ConfigurationError(f"--config {shown}: there is no such file") from None
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{shown}: cannot be read as TOML: {error}") from None
    for name in values.keys() - cls.model_fields.keys():
        raise ConfigurationError(f"{shown}: {name}: {_unknown(name, list(cls.model_fields))}")
    return {
        name: Given(value, shown, f"{shown}: {name} = {json.dumps(_masked(cls, name, value), default=str)}")
        for name, value in values.items()
    }


def from_environment(cls: type[BaseSettings], environ: Mapping[str, str]) -> dict[str, Given]:
    """The settings among the environment variables; whatever else begins with our prefix is a mistake."""
    known = [ENV_PREFIX + name.upper() for name in cls.model_fields]
    for name, value in environ.items():
        # Kubernetes describes each service of a namespace to its pods: one called `faust-onnx` hits our prefix.
        injected = _INJECTED_BY_KUBERNETES.fullmatch(name) or (name.endswith("_PORT") and "://" in value)
        foreign = injected or name.startswith(_OF_THE_TESTS)
        if name.startswith(ENV_PREFIX) and name not in known and not foreign:
            raise ConfigurationError(f"{name}: {_unknown(name, known)}")
    given = {}
    for name, value in _Environment(cls, environ)().items():
        variable = ENV_PREFIX + name.upper()
        given[name] = Given(value, f"environment {variable}", f"{variable}={_masked(cls, name, value)}")
    return given


def from_flags(cls: type[BaseSettings], flags: Mapping[str, Any]) -> dict[str, Given]:
    """The settings given as flags."""
    given = {}
    for name, value in flags.items():
        if name not in cls.model_fields:
            raise ConfigurationError(f"{flag_of(name)}: {_unknown(name, list(cls.model_fields))}")
        if value is not None:
            form = f"{flag_of(name)} {_masked(cls, name, value)}"
            given[name] = Given(value, f"flag {flag_of(name)}", form)
    return given


def flag_of(name: str) -> str:
    """The flag of a setting: `models_dir` is `--models-dir`."""
    return "--" + name.replace("_", "-")


def example_of(field: FieldInfo) -> str:
    """A value that the setting takes, as one would type it."""
    return str(field.examples[0]) if field.examples else str(field.default)


def _unknown(name: str, known: list[str]) -> str:
    """What to say of a name that is no setting."""
    near = difflib.get_close_matches(name, known, n=1)
    return f"unknown setting; did you mean {near[0]}?" if near else f"unknown setting; there are {', '.join(known)}"


def explained(cls: type[BaseSettings], given: Mapping[str, Given], error: ValidationError) -> list[str]:
    """One line for each wrong setting: what was given, what it must be, and an example."""
    lines = {}
    for fault in error.errors(include_url=False, include_input=False):
        name = str(fault["loc"][0]) if fault["loc"] else ""
        text = str(fault["msg"]).removeprefix("Value error, ")
        if name in cls.model_fields:
            field = cls.model_fields[name]
            musts = [each.be for each in field.metadata if isinstance(each, Must)]
            what = f"must be {musts[0]}" if musts else text
            example = example_of(field)
            form = given[name].form if name in given else name
            lines[name] = f"{form}: {what}" + ("" if example in what else f", for example {example}")
        else:
            lines[name] = text
    return list(lines.values())


def _masked(cls: type[BaseSettings], name: str, value: Any) -> Any:
    """*value*, or stars where the setting is a secret."""
    return MASK if "SecretStr" in repr(cls.model_fields[name].annotation) else value
