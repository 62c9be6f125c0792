"""Settings: from the environment or ``.env``, checked before anything starts."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from dotenv import dotenv_values
from pydantic import AliasChoices, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from cache.core.keys import check_namespace
from cache.core.ttl import seconds
from cache.errors import CacheError, SettingsError
from cache.insight.prices import Prices
from cache.insight.prices import read as read_prices

_EXAMPLES = {
    "CACHE_ENABLED": "true",
    "REDIS_URL": "redis://redis:6379/0",
    "CACHE_REDIS_PASSWORD_FILE": "/run/secrets/redis_password",
    "CACHE_SENTINEL_PASSWORD_FILE": "/run/secrets/sentinel_password",
    "CACHE_NAMESPACE": "team-a",
    "CACHE_READ_DEADLINE": "0.05",
    "CACHE_WRITE_DEADLINE": "0.1",
    "CACHE_MAX_CONNECTIONS": "64",
    "CACHE_FAST_PATH": "true",
    "CACHE_TRUST_RESTARTS": "false",
    "CACHE_LOG_JSON": "true",
    "CACHE_FLEET": "true",
    "CACHE_LOCAL_CATEGORIES": "embedding,static",
    "CACHE_LOCAL_MAX_BYTES": "67108864",
    "CACHE_TENANT_MAX_BYTES": "67108864",
    "CACHE_SIGNING_KEY_OLD": "the key before CACHE_SIGNING_KEY",
    "CACHE_SIGNING_WINDOW": "172800",
    "CACHE_HASHED_KEYS": "true",
    "CACHE_KEY_SECRET": "$(openssl rand -hex 32)",
    "CACHE_API_TOKEN": "$(openssl rand -hex 32)",
    "CACHE_API_HOSTS": "cache.example.org,.internal",
    "CACHE_API_DOCS": "auto",
    "CACHE_API_METRICS": "true",
    "CACHE_API_RATE": "600",
    "CACHE_REPEATABLE": "embedding,prompt",
    "CACHE_VERIFY_SHARE": "0.001",
    "CACHE_VERIFY_RATE": "1",
    "CACHE_VERIFY_DROP": "true",
    "CACHE_PRICES": "embedding=0.00002/token:500,tool=0.01/computation",
    "CACHE_CURRENCY": "EUR",
    "CACHE_API_PAGE": "auto",
    "CACHE_GRAFANA_URL": "http://localhost:3000",
    "CACHE_JAEGER_URL": "http://localhost:16686",
}

_TTL_EXAMPLE = "3600"

LONGEST_TOKEN = 4096
"""Characters of a bearer token."""

SMALLEST_BUDGET = 1 << 16
"""Bytes of a tenant below which a budget makes no sense."""


def _variable(name: str) -> Any:
    """A setting that is read from ``name`` and can be given by its field's name in code."""
    return AliasChoices(name, name.lower().removeprefix("cache_"))


class Settings(BaseSettings):
    """Every setting, with the variable it is read from.

    Raises:
        SettingsError: from ``load`` and ``of``; one line that names the variable, the fault and an example.
    """

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", frozen=True, hide_input_in_errors=True)

    enabled: bool = Field(True, validation_alias=_variable("CACHE_ENABLED"))
    redis_url: SecretStr = Field(
        SecretStr("redis://redis:6379/0"), validation_alias=AliasChoices("REDIS_URL", "redis_url")
    )
    redis_password_file: str = Field("", validation_alias=_variable("CACHE_REDIS_PASSWORD_FILE"))
    sentinel_password_file: str = Field("", validation_alias=_variable("CACHE_SENTINEL_PASSWORD_FILE"))
    default_ttl: float = Field(3600, validation_alias=_variable("CACHE_DEFAULT_TTL"))
    ttl_context: float = Field(3600, validation_alias=_variable("CACHE_TTL_CONTEXT"))
    ttl_embedding: float = Field(86_400, validation_alias=_variable("CACHE_TTL_EMBEDDING"))
    ttl_tool: float = Field(1800, validation_alias=_variable("CACHE_TTL_TOOL"))
    ttl_prompt: float = Field(3600, validation_alias=_variable("CACHE_TTL_PROMPT"))
    namespace: str = Field("", validation_alias=_variable("CACHE_NAMESPACE"))
    signing_key: SecretStr = Field(SecretStr(""), validation_alias=_variable("CACHE_SIGNING_KEY"))
    signing_key_old: SecretStr = Field(SecretStr(""), validation_alias=_variable("CACHE_SIGNING_KEY_OLD"))
    signing_window: float = Field(172_800, ge=0, le=315_360_000, validation_alias=_variable("CACHE_SIGNING_WINDOW"))
    hashed_keys: bool = Field(False, validation_alias=_variable("CACHE_HASHED_KEYS"))
    key_secret: SecretStr = Field(SecretStr(""), validation_alias=_variable("CACHE_KEY_SECRET"))
    api_token: SecretStr = Field(SecretStr(""), validation_alias=_variable("CACHE_API_TOKEN"))
    api_hosts: str = Field("", validation_alias=_variable("CACHE_API_HOSTS"))
    api_docs: Literal["auto", "true", "false"] = Field("auto", validation_alias=_variable("CACHE_API_DOCS"))
    api_metrics: Literal["auto", "true", "false"] = Field("auto", validation_alias=_variable("CACHE_API_METRICS"))
    api_rate: int = Field(600, ge=1, le=1_000_000, validation_alias=_variable("CACHE_API_RATE"))
    api_page: Literal["auto", "true", "token", "false"] = Field("auto", validation_alias=_variable("CACHE_API_PAGE"))
    grafana_url: str = Field("", validation_alias=_variable("CACHE_GRAFANA_URL"))
    jaeger_url: str = Field("", validation_alias=_variable("CACHE_JAEGER_URL"))
    read_deadline: float = Field(0.05, gt=0, le=2, validation_alias=_variable("CACHE_READ_DEADLINE"))
    write_deadline: float = Field(0.1, gt=0, le=2, validation_alias=_variable("CACHE_WRITE_DEADLINE"))
    max_connections: int = Field(64, ge=1, le=4096, validation_alias=_variable("CACHE_MAX_CONNECTIONS"))
    fast_path: bool = Field(True, validation_alias=_variable("CACHE_FAST_PATH"))
    trust_restarts: bool = Field(False, validation_alias=_variable("CACHE_TRUST_RESTARTS"))
    log_json: bool = Field(False, validation_alias=_variable("CACHE_LOG_JSON"))
    fleet: bool = Field(True, validation_alias=_variable("CACHE_FLEET"))
    local_categories: str = Field("", validation_alias=_variable("CACHE_LOCAL_CATEGORIES"))
    local_max_bytes: int = Field(64 << 20, ge=1 << 16, le=1 << 40, validation_alias=_variable("CACHE_LOCAL_MAX_BYTES"))
    repeatable: str = Field("", validation_alias=_variable("CACHE_REPEATABLE"))
    verify_share: float = Field(0.001, ge=0, le=1, validation_alias=_variable("CACHE_VERIFY_SHARE"))
    verify_rate: float = Field(1.0, gt=0, le=1000, validation_alias=_variable("CACHE_VERIFY_RATE"))
    verify_drop: bool = Field(False, validation_alias=_variable("CACHE_VERIFY_DROP"))
    prices: str = Field("", validation_alias=_variable("CACHE_PRICES"))
    currency: str = Field("EUR", pattern=r"^[A-Z]{3}$", validation_alias=_variable("CACHE_CURRENCY"))
    tenant_max_bytes: int = Field(0, ge=0, le=1 << 50, validation_alias=_variable("CACHE_TENANT_MAX_BYTES"))
    ttls: dict[str, float] = Field(default_factory=dict, validation_alias=AliasChoices("ttls"))

    @field_validator("default_ttl", "ttl_context", "ttl_embedding", "ttl_tool", "ttl_prompt", mode="before")
    @classmethod
    def _no_bool(cls, value: Any) -> Any:
        return seconds(value) if isinstance(value, bool) else value

    @field_validator("default_ttl", "ttl_context", "ttl_embedding", "ttl_tool", "ttl_prompt")
    @classmethod
    def _ttl(cls, value: float) -> float:
        return seconds(value)

    @field_validator("signing_key_old")
    @classmethod
    def _old(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        """Without a new key nothing is signed, and whoever set the old one alone meant something else."""
        key = info.data.get("signing_key")
        if value.get_secret_value() and not (key and key.get_secret_value()):
            raise ValueError("an old key stands beside a new one in CACHE_SIGNING_KEY")
        return value

    @field_validator("api_token")
    @classmethod
    def _token(cls, value: SecretStr) -> SecretStr:
        """A token that no header can carry would close the door without a word."""
        text = value.get_secret_value()
        if text and not (text.isascii() and text.isprintable() and " " not in text and len(text) <= LONGEST_TOKEN):
            raise ValueError(f"a token is at most {LONGEST_TOKEN} ASCII characters without blanks")
        return value

    @field_validator("api_hosts")
    @classmethod
    def _hosts(cls, value: str) -> str:
        names = [name.strip().lower() for name in value.split(",") if name.strip()]
        if not all(name == "*" or re.fullmatch(r"\.?[a-z0-9_\-]+(\.[a-z0-9_\-]+)*", name) for name in names):
            raise ValueError("host names separated by commas, without scheme and port")
        return ",".join(names)

    @field_validator("prices")
    @classmethod
    def _prices(cls, value: str) -> str:
        read_prices(value)
        return value

    @field_validator("grafana_url", "jaeger_url")
    @classmethod
    def _link(cls, value: str) -> str:
        """It becomes a link on a page that everybody who may see the page sees: a password in it is not meant."""
        if value and not re.fullmatch(r"https?://[A-Za-z0-9.\-\[\]:]{1,253}(/[A-Za-z0-9._~%/\-]*)?", value):
            raise ValueError("an address that begins with http:// or https://, without user and query")
        return value.rstrip("/")

    @field_validator("local_categories", "repeatable")
    @classmethod
    def _categories(cls, value: str) -> str:
        names = [name.strip() for name in value.split(",") if name.strip()]
        if not all(re.fullmatch(r"[a-z][a-z0-9_]{0,31}", name) for name in names):
            raise ValueError("categories by name, separated by commas")
        return ",".join(names)

    @field_validator("tenant_max_bytes")
    @classmethod
    def _budget(cls, value: int) -> int:
        if 0 < value < SMALLEST_BUDGET:
            raise ValueError(f"0 for no bound, or at least {SMALLEST_BUDGET}")
        return value

    @field_validator("namespace")
    @classmethod
    def _namespace(cls, value: str) -> str:
        return check_namespace(value) if value else ""

    @classmethod
    def load(cls, env_file: str | Path | None = ".env") -> Self:
        """Read the environment, and ``env_file`` for what it does not name.

        Raises:
            SettingsError: the first wrong setting.
        """
        try:
            given = {**dotenv_values(env_file), **os.environ} if env_file is not None else dict(os.environ)
        except (OSError, UnicodeError) as error:
            fault = f"cannot be read as UTF-8 text ({type(error).__name__})"
            raise SettingsError(f"{env_file}: {fault}; for example a line CACHE_ENABLED=true") from None
        return cls._checked(_env_file=env_file, ttls=_further_ttls(given))

    @classmethod
    def of(cls, **values: Any) -> Self:
        """Settings from code: ``values`` by field name, the environment for the rest.

        Raises:
            SettingsError: the first wrong setting.
        """
        unknown = values.keys() - cls.model_fields.keys()
        if unknown:
            raise SettingsError(f"{min(unknown)}: there is no such setting; there are {', '.join(cls.model_fields)}")
        return cls._checked(**{"ttls": _further_ttls(os.environ)} | values)

    @classmethod
    def _checked(cls, **values: Any) -> Self:
        try:
            return cls(**values)
        except ValidationError as error:
            raise SettingsError(_first_fault(error)) from None
        except CacheError as error:
            raise SettingsError(str(error)) from None

    @property
    def password_file(self) -> str:
        """The file with the store's password; empty where the URL has it. An embedded server has none."""
        embedded = self.redis_url.get_secret_value().startswith("embedded:")
        return "" if embedded else self.redis_password_file

    @property
    def hides_keys(self) -> bool:
        """Whether names in Redis are digests."""
        return self.hashed_keys or bool(self.key_secret.get_secret_value())

    @property
    def api_host_names(self) -> tuple[str, ...]:
        """The host names that the API answers to beside those that nobody can rebind."""
        return tuple(self.api_hosts.split(",")) if self.api_hosts else ()

    @property
    def locals(self) -> tuple[str, ...]:
        """The categories that are kept in the process too."""
        return tuple(self.local_categories.split(",")) if self.local_categories else ()

    @property
    def repeatables(self) -> tuple[str, ...]:
        """The categories whose computations are declared repeatable here."""
        return tuple(self.repeatable.split(",")) if self.repeatable else ()

    @property
    def price_list(self) -> Prices:
        """What computations cost."""
        return Prices(read_prices(self.prices), self.currency)

    def category_ttls(self) -> Mapping[str, float]:
        """TTL by category, seconds: the specification's four and every other ``CACHE_TTL_<CATEGORY>``."""
        return {
            **self.ttls,
            "context": self.ttl_context,
            "embedding": self.ttl_embedding,
            "tool": self.ttl_tool,
            "prompt": self.ttl_prompt,
        }


def _further_ttls(given: Mapping[str, str | None]) -> dict[str, float]:
    """``CACHE_TTL_<CATEGORY>`` of categories that the application registers."""
    found = {}
    for name, text in given.items():
        category = name.upper().removeprefix("CACHE_TTL_").lower()
        if name.upper().startswith("CACHE_TTL_") and category not in ("context", "embedding", "tool", "prompt"):
            try:
                found[category] = seconds(float(text or ""))
            except (ValueError, CacheError):
                raise SettingsError(
                    f"{name}: not a time to live in seconds; for example {name}={_TTL_EXAMPLE}"
                ) from None
    return found


def _first_fault(error: ValidationError) -> str:
    fault = error.errors(include_input=False, include_url=False, include_context=False)[0]
    field = str(fault["loc"][0]) if fault["loc"] else "settings"
    name = field.upper()
    if not name.startswith(("CACHE_", "REDIS_")):
        name = f"CACHE_{name}"
    message = fault["msg"].removeprefix("Value error, ")
    example = _EXAMPLES.get(name, _TTL_EXAMPLE if "TTL" in name else "a text")
    return f"{name}: {message}; for example {name}={example}"
