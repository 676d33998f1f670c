"""Descriptions of the settings, for ``docs/settings.md`` and ``cinelog --help``.

``python -m service.settings_page > docs/settings.md`` writes the page; a test compares the two.
"""

from service.secret_files import FILES
from service.settings import PREFIX, Settings

DESCRIPTIONS = {
    "data_dir": "Directory of the event store, the embedded Redis and the signing keys (0700).",
    "event_store_url": "`sqlite:///path` or `postgresql://user:password@host/database`; of a"
    " cluster all hosts, see [high availability](high-availability.md).",
    "event_store_read_url": "A streaming replica of an event store in PostgreSQL. Histories, the "
    "feed, lists at a point in time, `rebuild` and `verify` are read there where it shows enough.",
    "redis_url": "`redis://`, `rediss://`, `unix://`, `redis+sentinel://` or `redis+cluster://`.",
    "host": "Address to listen on.",
    "port": "Port to listen on; 0 selects a free one.",
    "workers": "Number of API processes, 1 to 256.",
    "projection": "Whether `serve` runs a projection; if `off`, run `cinelog project` elsewhere.",
    "signing_keys": "File with the JWK Set that signs tokens; created if it is missing (0600).",
    "issuer": "`iss` of the tokens. Set it, or the public URL, if several machines serve.",
    "audience": "`aud` of the access tokens.",
    "access_ttl_s": "Lifetime of an access token in seconds.",
    "refresh_ttl_s": "Lifetime of a refresh token in seconds.",
    "write_wait_ms": "Longest wait of a write, or of `Min-Event-Position`, for the lists, in ms.",
    "commit_wait_s": "Longest wait of a write for its commit, in seconds; then it answers 503.",
    "public_url": "Base URL of links, the OAuth metadata and `/docs`, such as `https://movies.example.org`.",
    "login_rate": "Rate of requests with a password: by username; by address. `off` disables one.",
    "api_rate": "Rate of all other requests, by account. `off` disables it.",
    "proxies": "Number of reverse proxies trusted to report the address and scheme of a client.",
    "cors_origins": "Origins whose pages may call the API, separated by commas, or `*`.",
    "max_connections": "Maximum number of open connections of each API process.",
    "streams_per_account": "Maximum number of open event streams of an account, per machine.",
    "mirror_mb": "Most memory in MB for the records that lists search, per API process; a larger "
    "catalogue has no lists.",
    "backup_url": "Place of backups: a directory, or a URL that `fsspec` reaches (`s3://bucket/path`).",
    "backup_every": "How often the service makes a backup by itself, such as `1 hour`, or `off`.",
    "backup_full_every": "Age at which a chain of backups is followed by a new, full one.",
    "backup_keep": "How long an older chain is kept after its last backup, such as `30 days`; "
    "`off` keeps all.",
    "backup_recipient": "Public keys, separated by commas, that backups are encrypted to: `age1…` "
    "or `ssh-…`.",
    "log_format": "`auto` (text on a terminal, else JSON), `text` or `json`.",
    "log_level": "`debug`, `info`, `warning`, `error` or `critical`.",
}
_DEFAULTS = {
    "data_dir": "`./var`",
    "event_store_url": "`events.db` in the data directory",
    "redis_url": "an embedded server in the data directory",
    "workers": "one per core",
    "projection": "`on`",
    "issuer": "`CINELOG_PUBLIC_URL` if set, else the address served",
    "signing_keys": "`signing-keys.json` in the data directory",
}
_HEAD = """# Settings

Environment variables; all are optional. An invalid value ends a command with one line that names
the variable (exit code 2). An unknown variable with this prefix causes a warning.
`python -m service.settings_page` generates this page.

| variable | default | meaning |
|---|---|---|
"""


def rows() -> list[tuple[str, str, str]]:
    """Return the variable, default and meaning of each setting."""
    found = []
    for name, field in Settings.model_fields.items():
        found.append((_variable(name), _default(name, field.default), DESCRIPTIONS.get(name, "")))
        files = FILES.get(name, {}).items()
        found += [(_variable(file), "unset", description) for file, description in files]
    return found


def page() -> str:
    """Return ``docs/settings.md``."""
    return _HEAD + "".join(f"| `{name}` | {value} | {text} |\n" for name, value, text in rows())


def epilog() -> str:
    """Return the settings for ``--help``, one per paragraph."""
    lines = (f"{name} ({value}): {text}" for name, value, text in rows())
    return "\n\n".join(["Settings (environment variables):", *lines]).replace("`", "")


def _variable(name: str) -> str:
    return f"{PREFIX}{name.upper()}"


def _default(name: str, default: object) -> str:
    return _DEFAULTS.get(name) or ("unset" if default in (None, "") else f"`{default}`")


if __name__ == "__main__":
    print(page(), end="")  # noqa: T201
