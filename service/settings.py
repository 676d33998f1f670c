"""The settings, read from environment variables with the prefix ``CINELOG_``; all are optional."""

import os
import re
from contextlib import suppress
from datetime import timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self
from urllib.parse import quote

from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from commands.errors import ConfigurationError
from service.data_dir import REDIS_SOCKET
from service.secret_files import FILES, read_urls
from service.urls import base_url, origin, served_url

if TYPE_CHECKING:
    from limits import RateLimitItem

PREFIX = "CINELOG_"
POSTGRESQL = ("postgresql", "postgres")
_MAX_RATE = 10**9
_DURATION = re.compile(r"([1-9][0-9]{0,6})\s*(second|minute|hour|day)s?")
_UNITS_S = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400}


class Settings(BaseSettings):
    """The settings, by default those of a single machine; use ``Settings.load()``."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    data_dir: Path = Path("var")
    event_store_url: str = ""
    event_store_read_url: str = ""
    redis_url: str | None = None
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    workers: Annotated[int, Field(ge=1, le=256)] = os.cpu_count() or 1
    projection: bool = True
    signing_keys: Path = Path()
    issuer: str = ""
    audience: Annotated[str, Field(min_length=1)] = "cinelog"
    access_ttl_s: Annotated[int, Field(ge=1, le=86_400)] = 300
    refresh_ttl_s: Annotated[int, Field(ge=1, le=31_536_000)] = 86_400
    write_wait_ms: Annotated[int, Field(ge=0, le=60_000)] = 500
    commit_wait_s: Annotated[float, Field(ge=0.5, le=60)] = 5
    public_url: str | None = None
    login_rate: str = "10/minute;60/minute"
    api_rate: str = "6000/minute"
    proxies: Annotated[int, Field(ge=0, le=16)] = 0
    cors_origins: str = ""
    log_format: Literal["auto", "text", "json"] = "auto"
    log_level: Literal["debug", "info", "warning", "error", "critical"] = "info"
    max_connections: Annotated[int, Field(ge=1, le=1_000_000)] = 4_096
    streams_per_account: Annotated[int, Field(ge=1, le=100_000)] = 20
    mirror_mb: Annotated[int, Field(ge=1, le=1_000_000)] = 1_024
    backup_url: str = ""
    backup_every: str = "off"
    backup_full_every: str = "7 days"
    backup_keep: str = "off"
    backup_recipient: str = ""

    @field_validator("redis_url", "public_url", mode="before")
    @classmethod
    def _empty_means_unset(cls, value: object) -> object:
        return None if value == "" else value

    @field_validator("event_store_read_url")
    @classmethod
    def _only_postgresql_has_replicas(cls, value: str, info: ValidationInfo) -> str:
        urls = value, str(info.data.get("event_store_url"))
        if value and not {url.partition(":")[0] for url in urls} <= {*POSTGRESQL}:
            raise ValueError(
                "a replica needs an event store in PostgreSQL: begin this and"
                f" {PREFIX}EVENT_STORE_URL with postgresql://"
            )
        return value

    @field_validator("login_rate", "api_rate")
    @classmethod
    def _rate_is_valid(cls, value: str, info: ValidationInfo) -> str:
        (parse_login_rate if info.field_name == "login_rate" else parse_rate)(value)
        return value

    @field_validator("backup_every", "backup_full_every", "backup_keep")
    @classmethod
    def _duration_is_valid(cls, value: str, info: ValidationInfo) -> str:
        if parse_duration(value) is None and info.field_name == "backup_full_every":
            raise ValueError('write it like "7 days"')
        return value

    @model_validator(mode="after")
    def _schedule_has_a_place(self) -> Self:
        if parse_duration(self.backup_every) and not self.backup_url:
            problem = "CINELOG_BACKUP_EVERY is set; name the place of the backups, too"
            raise ConfigurationError(f"{PREFIX}BACKUP_URL", problem)
        return self

    @field_validator("cors_origins")
    @classmethod
    def _origins_are_valid(cls, value: str) -> str:
        origins = [one.strip() for one in value.split(",") if one.strip()]
        return "*" if origins == ["*"] else ",".join(map(origin, origins))

    @field_validator("issuer", "public_url")
    @classmethod
    def _is_base_url(cls, value: str | None) -> str | None:
        return base_url(value) if value else value

    @model_validator(mode="before")
    @classmethod
    def _files_default_to_data_dir(cls, values: dict[str, object]) -> dict[str, object]:
        data_dir = Path(str(values.get("data_dir") or "var")).absolute()
        values["data_dir"] = data_dir
        values["event_store_url"] = (
            values.get("event_store_url") or f"sqlite:///{data_dir}/events.db"
        )
        values["signing_keys"] = values.get("signing_keys") or data_dir / "signing-keys.json"
        return values

    @model_validator(mode="before")
    @classmethod
    def _issuer_defaults_to_served_url(cls, values: dict[str, object]) -> dict[str, object]:
        url = served_url(str(values.get("host", "127.0.0.1")), str(values.get("port", 8000)))
        public = str(values.get("public_url") or "")
        with suppress(ValueError):  # the validator of public_url refuses it
            url = base_url(public) if public else url
        values["issuer"] = values.get("issuer") or url
        return values

    @classmethod
    def load(cls, **overrides: object) -> Self:
        """Return the settings of the environment; ``overrides`` that are not None come first.

        Raises ConfigurationError that names the first invalid variable.
        """
        try:
            given: dict[str, object] = {**read_urls(PREFIX)}
            given |= {name: value for name, value in overrides.items() if value is not None}
            return cls(**given)  # type: ignore[arg-type]
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            field = str(first["loc"][0]) if first["loc"] else "settings"
            problem = first["msg"].removeprefix("Value error, ")
            raise ConfigurationError(f"{PREFIX}{field.upper()}", problem) from None

    def served_at(self, url: str) -> Self:
        """Return the settings of a service at ``url``, now that its port is known."""
        return self.model_copy(update={"issuer": self.issuer or url})

    @property
    def embedded_socket(self) -> Path:
        """The socket of the embedded Redis."""
        return self.data_dir / REDIS_SOCKET

    @property
    def redis_url_or_embedded(self) -> str:
        """The URL of the configured Redis, or of the embedded one."""
        return self.redis_url or f"unix://{quote(str(self.embedded_socket))}"


def unknown_variables() -> list[str]:
    """Return a warning for each environment variable that has the prefix but is not a setting."""
    files = [name for settings in FILES.values() for name in settings]
    known = [name.upper() for name in (*Settings.model_fields, *files)]
    warnings = []
    for variable in sorted(os.environ):
        prefix, _, name = variable.upper().partition("_")
        if f"{prefix}_" == PREFIX and name not in known:
            near = get_close_matches(name, known, 1)
            hint = f"did you mean {PREFIX}{near[0]}?" if near else "see docs/settings.md"
            warnings.append(f"{variable} is not a setting and is ignored; {hint}")
    return warnings


def parse_duration(text: str) -> timedelta | None:
    """Return a duration such as ``1 hour`` or ``30 days``, None for ``off``.

    Raises ValueError for any other text.
    """
    if text.strip().lower() in ("off", ""):
        return None
    match = _DURATION.fullmatch(text.strip().lower())
    if match is None:
        raise ValueError(
            'write it like "1 hour" or "30 days" (second, minute, hour, day), or "off"'
        )
    return timedelta(seconds=int(match[1]) * _UNITS_S[match[2]])


def parse_rate(text: str) -> "RateLimitItem | None":
    """Return a rate such as ``10/minute`` or ``100 per 5 minutes``, None for ``off``.

    Raises ValueError for any other text.
    """
    from limits import parse_many  # noqa: PLC0415 - commands start fast without it

    if text.strip().lower() == "off":
        return None
    with suppress(ValueError):
        (rate,) = parse_many(text)
        if 0 < rate.amount < _MAX_RATE and rate.get_expiry() < _MAX_RATE:
            return rate
    raise ValueError('write it like "10/minute" or "100/5 minutes", or "off"')


def parse_login_rate(text: str) -> "tuple[RateLimitItem | None, RateLimitItem | None]":
    """Return the rates by username and by address of ``10/minute;60/minute``.

    Without the second, 60 a minute; ``off`` alone turns both off. Raises ValueError.
    """
    by_username, separator, by_address = text.partition(";")
    first = parse_rate(by_username)
    default = "60/minute" if first else "off"
    return first, parse_rate(by_address if separator else default)
