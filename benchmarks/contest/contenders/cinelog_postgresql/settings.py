"""The settings of the service in a benchmark."""

import os

CINELOG = f"{os.environ['ROOT']}/.venv/bin/cinelog"
URL = f"http://127.0.0.1:{os.environ['PORT']}"
PASSWORD = os.environ["JWT_SECRET"]
ENVIRONMENT = os.environ | {
    "CINELOG_DATA_DIR": f"{os.environ['DATA']}/cinelog",
    "CINELOG_PORT": os.environ["PORT"],
    "CINELOG_WORKERS": os.environ["WORKERS"],
    "CINELOG_API_RATE": "off",
    "CINELOG_LOGIN_RATE": "off",
    "CINELOG_ACCESS_TTL_S": "86400",
    "CINELOG_LOG_LEVEL": "warning",
    "CINELOG_EVENT_STORE_URL": os.environ["DATABASE_URL"],
}
