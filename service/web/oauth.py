"""OAuth clients at the token endpoints: how they are recognized, validated and refused.

1. A client speaks OAuth if it sends ``grant_type``, or, in a form, another parameter that only
   OAuth has. It gets the errors of RFC 6749, 5.2 and RFC 7009, 2.2.1. Every other client gets a
   problem document with the same ``error`` as a member.
2. The one client is public: any ``client_id`` stands for it. A client secret is refused, because
   ``token_endpoint_auth_methods_supported`` is ``none``.
3. An error has the status of the problem document, except that wrong credentials and bad tokens
   are 400, as the RFC demands.
"""

from base64 import b64decode
from typing import Any

from authlib.oauth2.rfc6749.errors import (  # type: ignore[import-untyped]
    InvalidClientError,
    InvalidGrantError,
    InvalidRequestError,
    OAuth2Error,
    UnsupportedGrantTypeError,
)

from commands.errors import InvalidError, NoActiveAccountError, RefusedError, TokenNotValidError
from service.web.body import FORM, media_type, read_body
from service.web.request import CinelogRequest

TOKEN, REVOCATION = "token", "revocation"
GRANT = "grant_type"
NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}
_SECRETS = ("client_secret", "client_assertion")
_SIGNS = ("client_id", "client_assertion_type", "scope", "token_type_hint", *_SECRETS)
_REALM = 'Basic realm="api"'


def endpoint_of(request: CinelogRequest) -> str | None:
    """Return the OAuth endpoint of the route, TOKEN or REVOCATION; None for other routes."""
    return getattr(request.route.ctx, "oauth", None) if request.route else None


def speaks_oauth(request: CinelogRequest) -> bool:
    """Return whether the client expects OAuth responses. Accepts any body."""
    endpoint = endpoint_of(request)
    if endpoint is None:
        return False
    if GRANT in request.args:
        return True
    is_form = media_type(request) == FORM
    try:
        body = read_body(request, also=FORM)
    except RefusedError:
        sent = request.body
        return any(f"{one}".encode() in sent for one in (GRANT, *(_SIGNS if is_form else ())))
    if GRANT in body:
        return True
    is_basic = endpoint == REVOCATION and any(map(_is_basic, _authorization(request)))
    return is_form and (is_basic or any(name in body for name in _SIGNS))


def read_parameters(request: CinelogRequest) -> dict[str, Any]:
    """Return an OAuth client's parameters, without those that have no value (RFC 6749, 3.2).

    Raises InvalidRequestError, InvalidClientError, and the errors of ``read_body``.
    """
    body = {name: value for name, value in read_body(request, also=FORM).items() if value != ""}
    if not all(isinstance(body.get(name, ""), str) for name in (GRANT, *_SIGNS)):
        raise InvalidRequestError("A parameter that is no text.")
    if any(name in body for name in _SECRETS) or not all(map(_is_public, _authorization(request))):
        raise client_secret_error()
    return body


def grant_of(parameters: dict[str, Any], *supported: str) -> str:
    """Return the grant type. Raises InvalidRequestError, UnsupportedGrantTypeError."""
    if GRANT not in parameters:
        raise InvalidRequestError("Missing 'grant_type' in request.")
    grant: str = parameters[GRANT]
    if grant not in supported:
        raise grant_type_error(*supported)
    return grant


def client_secret_error() -> InvalidClientError:
    """Return the error for a client secret in the body or in ``Authorization``."""
    description = "Clients have no secret here: token_endpoint_auth_methods_supported is none."
    return InvalidClientError(description, status_code=401)


def grant_type_error(*supported: str) -> UnsupportedGrantTypeError:
    """Return the error for any other grant type, which Authlib's own message would echo."""
    error = UnsupportedGrantTypeError("")
    error.description = f"Grant types supported here: {', '.join(supported)}."
    return error


def scope_of(parameters: dict[str, Any]) -> str:
    """Return the requested scope, "" if the client sent none."""
    scope: str = parameters.get("scope", "")
    return scope


def oauth_error_of(error: Exception, status: int, detail: str) -> OAuth2Error:
    """Return the OAuth error for an error with this status and ``detail``."""
    if isinstance(error, OAuth2Error):
        return error
    if isinstance(error, InvalidError):
        detail = str(error)
    description = _printable(detail)
    if isinstance(error, (NoActiveAccountError, TokenNotValidError)):
        return InvalidGrantError(description)
    if status in (429, 503):
        name = "temporarily_unavailable"
    else:
        name = "server_error" if status >= 500 else "invalid_request"  # noqa: PLR2004 - RFC 9110
    return OAuth2Error(description, error=name, status_code=status)


def error_response(error: OAuth2Error) -> tuple[int, dict[str, str], dict[str, str]]:
    """Return status, body and headers of an OAuth error."""
    status, body, lines = error()
    headers = dict(lines) | NO_STORE
    if challenge := headers.get("WWW-Authenticate"):  # Authlib omits the realm
        headers["WWW-Authenticate"] = challenge.replace("Basic", f"{_REALM},", 1)
    return status, body, headers


def _printable(text: str) -> str:
    """Return ``text`` with only the characters of ``error_description`` (RFC 6749, 5.2)."""
    return "".join(one for one in text.replace('"', "'") if " " <= one <= "~" and one != "\\")


def _authorization(request: CinelogRequest) -> list[str]:
    return request.headers.getall("authorization", [])


def _is_basic(authorization: str) -> bool:
    return authorization.strip().partition(" ")[0].lower() == "basic"


def _is_public(authorization: str) -> bool:
    """Return whether a header holds no client secret. A Bearer token is not one."""
    if not _is_basic(authorization):
        return True
    try:
        credentials = b64decode(
            authorization.strip().partition(" ")[2].strip(), validate=True
        ).decode()
    except ValueError:
        return False
    _, colon, secret = credentials.partition(":")
    return colon == ":" and not secret
