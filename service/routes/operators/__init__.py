"""What only operators may call: the middleware checks the role for all paths below ``PATH``."""

from commands.errors import NotOperatorError
from service.openapi import errors
from service.web.request import API

PATH = f"{API}/ops"
REFUSED = (NotOperatorError(), *errors.ACCOUNTS_UNAVAILABLE)
"""What every call of an operator may be refused with."""
