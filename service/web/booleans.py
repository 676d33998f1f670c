"""Flags among the query parameters."""

from commands.errors import InvalidError
from service.web.request import CinelogRequest

TRUE = frozenset({"", "1", "true", "yes", "on"})
FALSE = frozenset({"0", "false", "no", "off"})


def boolean_param(request: CinelogRequest, name: str) -> bool:
    """Return whether a flag is set, which it is where only its name is given.

    Of repeated ones the last counts. Raises InvalidError for what is neither true nor false.
    """
    given = request.get_args(keep_blank_values=True)
    if name not in given:
        return False
    said = given[name][-1].strip().lower()
    if said not in TRUE | FALSE:
        raise InvalidError({name: ["Must be a valid boolean."]})
    return said in TRUE
