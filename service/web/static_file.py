"""Files that are sent as they are, in gzip to clients that accept it."""

import gzip
import hashlib
from typing import NamedTuple

from service.web.body import JSON
from service.web.negotiation import takes_gzip
from service.web.request import CinelogRequest
from service.web.response import HTTPResponse

HTML, CSS, SCRIPT = "text/html", "text/css", "text/javascript"
REVALIDATED = "no-cache"


class File(NamedTuple):
    """A file, plain and compressed; ``digest`` changes with the content."""

    content: bytes
    packed: bytes
    media: str
    digest: str

    def answer(self, request: CinelogRequest, cache_control: str) -> HTTPResponse:
        """Return the file, in gzip where the client accepts it; each coding has its own tag."""
        packed = takes_gzip(request)
        tag = f'"{self.digest}-gzip"' if packed else f'"{self.digest}"'
        headers = {"ETag": tag, "Cache-Control": cache_control}
        if packed:
            headers["Content-Encoding"] = "gzip"
        media = self.media if self.media == JSON else f"{self.media}; charset=utf-8"
        content = self.packed if packed else self.content
        response = HTTPResponse(content, headers=headers, content_type=media)
        response.varies = "Accept-Encoding"
        return response


def file_of(content: bytes, media: str) -> File:
    """Return a file, compressed."""
    digest = hashlib.sha256(content).hexdigest()[:20]
    return File(content, gzip.compress(content, mtime=0), media, digest)
