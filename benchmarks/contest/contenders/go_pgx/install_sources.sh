# Install the Go sources of pgx and of golang-jwt from Debian, unless they are there.
packages="golang-github-jackc-pgx-v4-dev golang-github-golang-jwt-jwt-dev"
dpkg-query --show $packages >/dev/null 2>&1 || apt-get install --yes --no-install-recommends $packages
