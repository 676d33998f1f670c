"""Print an access token."""

import json
import urllib.request

from settings import PASSWORD, URL


def call(path, **body):
    """Return the answer of a call under ``auth/``."""
    data, headers = json.dumps(body).encode(), {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{URL}/api/v1/auth/{path}/", data, headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())


if __name__ == "__main__":
    print(call("token", username="bench", password=PASSWORD)["access"])
