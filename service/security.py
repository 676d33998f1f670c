"""Headers that every answer carries (OWASP REST Security Cheat Sheet)."""

CSP = "Content-Security-Policy"
SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    CSP: "default-src 'none'; frame-ancestors 'none'",
}
HSTS = {"Strict-Transport-Security": "max-age=31536000"}


def lines(headers: dict[str, str]) -> bytes:
    """Return ``headers`` as they go over the wire, each with a line break before it."""
    return "".join(f"\r\n{name.lower()}: {value}" for name, value in headers.items()).encode()
