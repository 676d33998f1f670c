"""Serve until SIGTERM."""

import os

from settings import CINELOG, ENVIRONMENT

os.execve(CINELOG, [CINELOG, "serve"], ENVIRONMENT)
