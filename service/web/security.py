"""Headers that every answer carries (OWASP REST Security Cheat Sheet)."""

CSP = "Content-Security-Policy"
SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    CSP: "default-src 'none'; frame-ancestors 'none'",
}
HSTS = {"Strict-Transport-Security": "max-age=31536000"}
