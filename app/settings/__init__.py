"""The settings of the program: defaults < `faust-onnx.toml` < `FAUST_ONNX_*` environment < flags.

They are read once, validated, and frozen; each remembers where it came from (`origins`).
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import ByteSize, Field, PrivateAttr, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from app.errors import ConfigurationError
from app.settings.sources import (
    CONFIG_FILE,
    ENV_PREFIX,
    MASK,
    Given,
    example_of,
    explained,
    flag_of,
    from_environment,
    from_file,
    from_flags,
)
from app.settings.types import Count, Must, Seconds, Size, split_address

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CONFIG_FILE", "ENV_PREFIX", "MASK", "Settings", "example_of", "flag_of", "split_address"]

_TOPIC_PART = re.compile(r"[A-Za-z0-9._-]{1,200}")


class Settings(BaseSettings):
    """What the program was told, or its defaults; built by `Settings.load`.

    Sizes are bytes, durations seconds. Relative folders are relative to the working directory.
    """

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, env_ignore_empty=True, frozen=True, extra="forbid", hide_input_in_errors=True
    )

    broker: Annotated[str, Must("host:port[,host:port...]")] = Field(
        "127.0.0.1:9092", description="Kafka's bootstrap addresses.", examples=["kafka-1:9092,kafka-2:9092"]
    )
    pipelines: Annotated[tuple[str, ...], NoDecode, Must("names of pipelines, separated by commas")] = Field(
        (), description="The pipelines this worker serves, each a folder in `models_dir`.", examples=["fraud,churn"]
    )
    models_dir: Annotated[Path, Must("a folder")] = Field(
        Path("models"), description="Where `<pipeline>/contract.toml` stands.", examples=["/etc/faust-onnx/models"]
    )
    app_id: Annotated[str, Must("1 to 200 of the characters A-Z a-z 0-9 . _ -")] = Field(
        "faust-onnx", description="The consumer group; workers with the same one share the work.", examples=["scoring"]
    )
    http: Annotated[str, Must("host:port")] = Field(
        "127.0.0.1:8080", description="Where HTTP answers; port 0 takes any free port.", examples=["127.0.0.1:8080"]
    )
    delivery: Annotated[Literal["at_least_once", "exactly_once"], Must("at_least_once or exactly_once")] = Field(
        "at_least_once",
        description="What a crash may do to predictions: repeat some (at_least_once), or neither repeat nor lose any.",
        examples=["at_least_once", "exactly_once"],
    )
    state_dir: Annotated[Path, Must("a folder")] = Field(
        Path("state"),
        description="Local state: cached models, label ledger, tables. One folder per worker process.",
        examples=["/var/lib/faust-onnx"],
    )
    partitions: Count = Field(4, description="Partitions of the topics that we create.", examples=[4])
    replication_factor: Count = Field(1, description="Replicas of the topics that we create.", examples=[3])
    create_topics: Annotated[bool, Must("true or false")] = Field(
        True, description="Whether a worker creates missing topics.", examples=["true"]
    )
    max_record_bytes: Size = Field(
        ByteSize(1 << 20),
        description="A larger feature record or label is a dead letter, `oversized`.",
        examples=["1MiB"],
    )
    max_model_bytes: Size = Field(
        ByteSize(256 << 20), description="A larger model is neither published nor accepted.", examples=["256MiB"]
    )
    model_cache_bytes: Size = Field(
        ByteSize(2 << 30), description="Disk that cached models may take in `state_dir`.", examples=["2GiB"]
    )
    pending_max: Count = Field(
        5_000_000,
        description="Events of a partition remembered for their label; beyond, the oldest are dropped and counted.",
        examples=[5_000_000],
    )
    commit_interval_s: Seconds = Field(0.5, description="Time between commits of offsets.", examples=[0.5])
    performance_interval_s: Seconds = Field(
        1.0, description="Time between records on the `performance` topic.", examples=[1.0]
    )
    keep_panes_under_1h_s: Seconds = Field(
        2 * 86_400.0,
        description="Event time for which performance panes shorter than 1 h are kept.",
        examples=[172_800],
    )
    keep_panes_under_1d_s: Seconds = Field(
        60 * 86_400.0, description="The same for panes of 1 h and more, but under 1 d.", examples=[5_184_000]
    )
    keep_panes_other_s: Seconds = Field(
        400 * 86_400.0, description="The same for panes of 1 d and more.", examples=[34_560_000]
    )
    fetch_max_bytes_per_partition: Size = Field(
        ByteSize(4 << 20), description="What one fetch brings of a partition at most.", examples=["4MiB"]
    )
    max_poll_records: Count = Field(4_000, description="Records in a batch at most.", examples=[4_000])
    in_flight_max_bytes: Size = Field(
        ByteSize(32 << 20),
        description="Bytes a worker holds unacknowledged before it fetches no more.",
        examples=["32MiB"],
    )
    session_timeout_s: Seconds = Field(
        10.0, description="Silence after which Kafka gives a worker's partitions to others.", examples=[10]
    )
    commit_stuck_s: Seconds = Field(
        120.0,
        description="Batches in flight and nothing committed for so long: the worker ends; for half of it: not ready.",
        examples=[120],
    )
    log_level: Annotated[Literal["debug", "info", "warning", "error"], Must("debug, info, warning or error")] = Field(
        "info", description="The least that is logged.", examples=["info"]
    )
    log_format: Annotated[Literal["console", "json"], Must("console or json")] = Field(
        "console", description="Logs for people, or one JSON object a line.", examples=["json"]
    )

    _origins: Mapping[str, str] = PrivateAttr(default_factory=dict)

    @field_validator("broker")
    @classmethod
    def _check_broker(cls, value: str) -> str:
        addresses = [address.strip() for address in value.split(",")]
        for address in addresses:
            split_address(address)
        return ",".join(addresses)

    @field_validator("http")
    @classmethod
    def _check_http(cls, value: str) -> str:
        split_address(value, lowest_port=0)
        return value

    @field_validator("app_id")
    @classmethod
    def _check_app_id(cls, value: str) -> str:
        if not _TOPIC_PART.fullmatch(value):
            raise ValueError("not fit for a consumer group")
        return value

    @field_validator("pipelines", mode="before")
    @classmethod
    def _split_pipelines(cls, value: Any) -> Any:
        names = [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value
        if isinstance(names, list | tuple) and all(isinstance(name, str) for name in names):
            if any(not _TOPIC_PART.fullmatch(name) or name in {".", ".."} for name in names):
                raise ValueError("not fit for the name of a topic")
            if len(set(names)) != len(names):
                raise ValueError("a pipeline is named twice")
        return names

    @field_validator("log_level", mode="before")
    @classmethod
    def _lower(cls, value: Any) -> Any:
        return value.lower() if isinstance(value, str) else value

    @model_validator(mode="after")
    def _check_sizes(self) -> Self:
        if self.model_cache_bytes < self.max_model_bytes:
            raise ValueError(
                f"model_cache_bytes ({self.model_cache_bytes}) must be at least max_model_bytes "
                f"({self.max_model_bytes}): the largest model has to fit into the cache"
            )
        return self

    @property
    def brokers(self) -> tuple[str, ...]:
        """The bootstrap addresses, one by one."""
        return tuple(self.broker.split(","))

    @property
    def http_address(self) -> tuple[str, int]:
        """Host and port to listen on; port 0 means any free one."""
        return split_address(self.http, lowest_port=0)

    @property
    def origins(self) -> Mapping[str, str]:
        """For each setting: `default`, the file, `environment FAUST_ONNX_X` or `flag --x`."""
        return MappingProxyType({name: self._origins.get(name, "default") for name in type(self).model_fields})

    def shown(self) -> dict[str, Any]:
        """Each setting as plain JSON values, secrets masked."""
        dumped: dict[str, Any] = self.model_dump(mode="python")
        return {name: _plain(value) for name, value in dumped.items()}

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003  # the signature is pydantic-settings' own
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what the constructor is given: `load` asks the other sources itself, to know the origins."""
        return (init_settings,)

    @classmethod
    def load(
        cls,
        flags: Mapping[str, Any] | None = None,
        *,
        config_file: Path | None = None,
        environ: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> Self:
        """The settings in force.

        flags: values by setting name, None where the flag was not given.
        config_file: must exist; without it `faust-onnx.toml` in *cwd* is read if it is there.
        environ, cwd: of this process when None.

        Raises ConfigurationError, which names each wrong setting in the form in which it was given.
        """
        given: dict[str, Given] = {}
        for source in (
            from_file(cls, config_file, cwd or Path.cwd()),
            from_environment(cls, os.environ if environ is None else environ),  # noqa: TID251  # the one place
            from_flags(cls, flags or {}),
        ):
            given |= source
        try:
            settings = cls(**{name: each.value for name, each in given.items()})
        except ValidationError as error:
            raise ConfigurationError("\n".join(explained(cls, given, error))) from None
        settings._origins = {name: each.origin for name, each in given.items()}
        return settings


def _plain(value: Any) -> Any:
    """*value* as JSON knows it, a secret as stars."""
    match value:
        case SecretStr():
            return MASK
        case Path():
            return str(value)
        case tuple():
            return list(value)
        case int() if not isinstance(value, bool):
            return int(value)
    return value
