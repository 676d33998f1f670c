"""The filters of the feed and the stream in the query of a request."""

from queries.log.event_filter import EVENT_FILTERS, EventFilter, parse_event_filter
from service.web.params import spell_offset
from service.web.request import CinelogRequest


def event_filter(request: CinelogRequest) -> EventFilter:
    """Return the filter that a request asks for. Raises InvalidError with every error."""
    given = {name: request.param(name) for name in EVENT_FILTERS}
    for name in EVENT_FILTERS:
        if name.startswith("at__"):
            given[name] = spell_offset(given[name])
    return parse_event_filter(given)
