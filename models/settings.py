"""Settings: command line, then TTS_* environment variables, then tts-jobs.toml, then these defaults."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from models.errors import UserError

CONFIG_FILE = "tts-jobs.toml"

Engine = Literal["vllm", "openai", "llamacpp", "instant"]

Format = Literal["tiny-prm", "math-shepherd", "rlhflow", "qwen-prm", "skywork", "orm"]
"""How a verifier that is a model is written to, and where in it the scores stand (docs/verifiers.md)."""

FORMATS: tuple[Format, ...] = get_args(Format)

HEAD_FORMATS: frozenset[Format] = frozenset({"qwen-prm", "skywork", "orm"})
"""Read from a head in the place of the vocabulary's, which only vLLM does, and from no prefix cache."""


class Price(BaseModel):
    """What a model costs: dollars per million tokens, or dollars per hour its GPU is held."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    prompt: float | None = Field(default=None, ge=0, description="USD per million prompt tokens")
    cached: float | None = Field(default=None, ge=0, description="USD per million cached prompt tokens")
    generated: float | None = Field(
        default=None, ge=0, description="USD per million generated tokens, reasoning included"
    )
    gpu_hour: float | None = Field(default=None, ge=0, description="USD per GPU-hour")


class ModelEntry(BaseModel):
    """One `[generators.NAME]` or `[verifiers.NAME]` table.

    `engine_args` go to the engine as they are. `max_sequences` is how many sequences the engine runs at once.
    `template` is the prompt template of jobs that name none. `format` is a verifier's: by default, that of its name.
    `flops_per_second`: sustained speed, needed only to bound a dollar budget under a per-hour price.
    """

    model_config = ConfigDict(extra="forbid")

    engine: Engine
    model: str = Field(description="path of a model directory or GGUF file, a hub name, or the server's model name")
    url: str | None = None
    api_key_env: str | None = Field(default=None, description="environment variable that holds the API key")
    max_sequences: int | None = Field(default=None, ge=1)
    context_length: int | None = Field(default=None, ge=1, description="tokens; the model's own by default")
    reasoning_effort: str | None = None
    thinking: bool | None = Field(
        default=None, description="whether it thinks in <think> tags before it answers; as its chat template tells"
    )
    template: str | None = None
    format: Format | None = Field(default=None, description="how a verifier is written to")
    architecture: str | None = Field(
        default=None, description="config.json, directory or GGUF that FLOPs are computed from"
    )
    price: Price = Price()
    flops_per_second: float | None = Field(default=None, gt=0)
    engine_args: dict[str, Any] = {}

    @field_validator("url")
    @classmethod
    def _no_password(cls, url: str | None) -> str | None:
        """The URL is recorded with every job that uses it; keys come from the environment."""
        if url is not None and (urlsplit(url).username is not None or urlsplit(url).query):
            raise ValueError(
                "a URL with a user, password or query would be stored; put the key in a variable and name it in api_key_env"
            )
        return url


class Settings(BaseSettings):
    """Everything that is configured outside a job; `TTS_DATABASE_URL`, `TTS_HOME`, ... override the file."""

    model_config = SettingsConfigDict(
        env_prefix="TTS_", env_nested_delimiter="__", toml_file=CONFIG_FILE, extra="forbid", env_ignore_empty=True
    )

    home: Path = Field(default=Path(".tts-jobs"), description="where the default database and pulled models live")
    database_url: SecretStr | None = None
    broker_url: SecretStr = SecretStr("memory://localhost/")
    lease_seconds: float = Field(default=60.0, gt=0)
    sweep_seconds: float = Field(default=1.0, gt=0)
    drain_seconds: float = Field(default=30.0, gt=0)
    max_retries: int = Field(default=5, ge=0, description="transient failures of one query before it fails")
    generators: dict[str, ModelEntry] = {}
    verifiers: dict[str, ModelEntry] = {}

    @field_validator("generators")
    @classmethod
    def _no_formats(cls, generators: dict[str, ModelEntry]) -> dict[str, ModelEntry]:
        for name, entry in generators.items():
            if entry.format is not None:
                raise ValueError(f"[generators.{name}]: format is for verifiers; leave it out")
        return generators

    @field_validator("verifiers")
    @classmethod
    def _each_a_format(cls, verifiers: dict[str, ModelEntry]) -> dict[str, ModelEntry]:
        """A table that names no format has the format of its own name."""
        found = {}
        for name, entry in verifiers.items():
            form = entry.format or next((known for known in FORMATS if known == name), None)
            if form is None:
                raise ValueError(f"[verifiers.{name}] needs a format, one of {', '.join(FORMATS)}")
            found[name] = entry.model_copy(update={"format": form})
        return found

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)

    @property
    def database(self) -> str:
        """The database URL; by default one SQLite file in `home`."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite:///{self.home / 'tts-jobs.db'}"

    @property
    def broker(self) -> str:
        return self.broker_url.get_secret_value()

    @property
    def broker_is_shared(self) -> bool:
        """Whether other processes can reach the broker."""
        return not self.broker.startswith("memory:")


@functools.cache
def settings() -> Settings:
    """The process's settings, read once.

    Raises:
        UserError: the file or a variable does not parse; the message names it.
    """
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        reason = first["msg"].removeprefix("Value error, ")
        raise UserError(
            f"{CONFIG_FILE} or TTS_{where.upper().replace('.', '__')}: {where}: {reason}; correct the setting"
        ) from None
    except ValueError as error:
        raise UserError(f"{CONFIG_FILE}: {error}; correct the file") from None
