"""Sign in to the PocketBase that listens on PORT and print the token."""

import json
import os
import urllib.request

ADDRESS = "http://127.0.0.1:{PORT}/api/collections/users/auth-with-password"


def main():
    """Send the name and the password that the migration gave to the account."""
    body = {"identity": "ann@example.com", "password": os.environ["JWT_SECRET"]}
    request = urllib.request.Request(
        ADDRESS.format_map(os.environ),
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as response:
        print(json.load(response)["token"])


if __name__ == "__main__":
    main()
