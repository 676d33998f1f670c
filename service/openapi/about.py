"""What the description says before it comes to single operations."""

ABOUT = """\
An event-sourced movies API: every change is an event, every list a projection, every answer can be
traced.

**Paths** are written here with the slash at the end where links have it; each answers without it,
too. Every path that answers `GET` answers `HEAD`, and every path `OPTIONS`.

**Who asks** is told by an access token in `Authorization: Bearer`: open an account, sign in,
refresh. Whoever has an account sees all movies; only its creator changes a movie.

**Bodies** are JSON, up to 1 MiB; fields that are not known and those that only the service sets are
ignored, so that a movie can be sent back as it came. Numbers may come as strings.

A byte order mark before JSON is skipped, and a body with a `Content-Encoding` is refused (415).
`PATCH` takes `application/merge-patch+json` too. Text of which nothing prints is blank. Text is
compared without regard to case; the dotted and the dotless i of Turkish count as one letter. A
username is compared without white space around it and in its compatibility form (NFKC). Links leave
out parameters that are not known.

**Errors** are problem documents (RFC 9457), `application/problem+json`, whatever is accepted.
`code` is for programs; `errors` has every field that is wrong at once. Any request may also be
answered with 405 (another method), 408 (too slow), 413 (too large), 417 (an expectation) or 431
(headers too large).

**Safe retries**: `Idempotency-Key` on what creates, `If-Match` with an `ETag` on what changes.
Preconditions are evaluated on every method (RFC 9110 section 13); entity tags are opaque text.

**Fresh reads**: a write answers when lists show it; where they do not yet, it says
`Read-Model: behind`. Every answer about movies says in `Event-Position` how far it is; a read with
`Min-Event-Position` shows no less. `Event-Log` names the log and the epoch of the position. Send it
back with the position: where the log was set back since, the answer is 409 `position_unknown`, and
`shared` says where to go on.

**Limits** tell where the caller stands in `RateLimit` and `RateLimit-Policy`; 429 comes with
`Retry-After`.
"""
