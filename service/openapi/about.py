"""The introduction of the description."""

ABOUT = """\
An event-sourced movies API: every change is an event, every list is a projection, and every answer
can be traced.

**Paths** are written with a trailing slash where links have one; they also answer without it. Every
path that answers `GET` also answers `HEAD`, and every path answers `OPTIONS`.

**Authentication** is an access token in `Authorization: Bearer`: register, sign in, refresh.
Scripts send a personal token instead. All accounts see all movies; only its creator can change a
movie.

**Bodies** are JSON, up to 1 MiB. Unknown fields, and fields that only the service sets, are
ignored, so a movie can be sent back as it was received. Numbers may be strings. A byte order mark
before JSON is skipped; a body with a `Content-Encoding` is refused (415). `PATCH` also takes
`application/merge-patch+json`.

**Text** without visible characters is blank. Text is compared case-insensitively; the dotted and
the dotless i of Turkish are equal. Usernames are compared without surrounding white space and in
their compatibility form (NFKC). Links leave out unknown parameters.

**Errors** are problem documents (RFC 9457), `application/problem+json`, whatever the client
accepts. `code` is for programs; `errors` lists every invalid field. Any request may also be
answered with 405 (method not allowed), 408 (too slow), 413 (too large), 417 (expectation failed) or
431 (headers too large).

**Safe retries**: `Idempotency-Key` on requests that create, `If-Match` with an `ETag` on requests
that change. Preconditions are evaluated on every method (RFC 9110, section 13); entity tags are
opaque.

**Reading your writes**: a write returns once lists include it, or else says `Read-Model: behind`.
`Event-Position` in every answer about movies is the position of the log that it reflects. A read
with `Min-Event-Position` reflects at least that position. `Event-Log` names the log and the epoch
of a position. Send it back with the position: if the log was set back since, the answer is 409
`position_unknown`, and `shared` is the position to continue from.

**Rate limits**: `RateLimit` and `RateLimit-Policy` show the caller's quota; 429 comes with
`Retry-After`.
"""
