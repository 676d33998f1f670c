"""What each setting is for: the text of ``docs/settings.md`` and of ``cinelog --help``.

``python -m service.settings_page > docs/settings.md`` writes the page; a test compares the two.
"""

from service.settings import PREFIX, Settings

DESCRIPTIONS = {
    "data_dir": "Directory of the event store, the embedded Redis and the signing keys (0700).",
    "event_store_url": "`sqlite:///path` or `postgresql://user:password@host/database`.",
    "redis_url": "`redis://`, `rediss://`, `unix://`, `redis+sentinel://` or `redis+cluster://`.",
    "host": "Address to listen on.",
    "port": "Port to listen on; 0 takes a free one.",
    "workers": "API processes, 1 to 256.",
    "signing_keys": "File with the JWK Set that signs tokens, made where it is missing (0600).",
    "issuer": "`iss` of the tokens. Set it, or the public URL, where several machines serve.",
    "audience": "`aud` of the access tokens.",
    "access_ttl_s": "Life of an access token in seconds.",
    "refresh_ttl_s": "Life of a refresh token in seconds.",
    "write_wait_ms": "How long a write waits for the lists to show it, in milliseconds.",
    "public_url": "Base of links, of the OAuth metadata and of `/docs`, like `https://movies.example.org`.",
    "login_rate": "Calls that take a password: by username, by address. `off` turns one off.",
    "api_rate": "All other calls, by account. `off` turns it off.",
    "proxies": "How many reverse proxies to believe for the address and scheme of a client.",
    "cors_origins": "Origins whose pages may call the API, with commas between, or `*`.",
    "max_connections": "Open connections of each API process.",
    "streams_per_account": "Streams of events that an account may have open.",
    "log_format": "`auto` (text on a terminal, else JSON), `text` or `json`.",
    "log_level": "`debug`, `info`, `warning`, `error` or `critical`.",
}
_DEFAULTS = {
    "data_dir": "`./var`",
    "event_store_url": "`events.db` in the data directory",
    "redis_url": "an embedded server in the data directory",
    "workers": "one a core",
    "issuer": "`CINELOG_PUBLIC_URL` where set, else the address served",
    "signing_keys": "`signing-keys.json` in the data directory",
}
_HEAD = """# Settings

Environment variables; none needs to be set. A value that cannot work ends a command with one line
that names the variable (exit 2); a variable with this prefix that is none of these is warned of.
`python -m service.settings_page` writes this page.

| variable | default | what |
|---|---|---|
"""


def rows() -> list[tuple[str, str, str]]:
    """Return variable, default and purpose of each setting."""
    return [
        (f"{PREFIX}{name.upper()}", _default(name, field.default), DESCRIPTIONS.get(name, ""))
        for name, field in Settings.model_fields.items()
    ]


def page() -> str:
    """Return ``docs/settings.md``."""
    return _HEAD + "".join(f"| `{name}` | {value} | {what} |\n" for name, value, what in rows())


def epilog() -> str:
    """Return the settings for ``--help``, one a paragraph."""
    lines = (f"{name} ({value}): {what}" for name, value, what in rows())
    return "\n\n".join(["Settings (environment variables):", *lines]).replace("`", "")


def _default(name: str, default: object) -> str:
    return _DEFAULTS.get(name) or ("unset" if default in (None, "") else f"`{default}`")


if __name__ == "__main__":
    print(page(), end="")  # noqa: T201
