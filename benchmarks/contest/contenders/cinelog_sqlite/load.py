"""Import the rows with the command that users have, while the service runs."""

import os
import subprocess
import time
import urllib.error

from settings import CINELOG, ENVIRONMENT, PASSWORD
from token_of import call

with subprocess.Popen([CINELOG, "serve"], env=ENVIRONMENT) as service:
    for _ in range(600):
        try:
            email = "bench@example.org"
            call("register", username="bench", email=email, password=PASSWORD, password2=PASSWORD)
            break
        except urllib.error.URLError:
            time.sleep(0.1)
    done = subprocess.run([CINELOG, "import", os.environ["ROWS"], "--as", "bench"], env=ENVIRONMENT)
    service.terminate()
raise SystemExit(done.returncode)
