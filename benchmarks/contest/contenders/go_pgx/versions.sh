# Print the versions of Go, pgx and golang-jwt in one line.
version() { dpkg-query --show --showformat='${Version}' "$1"; }
echo "Go $(.venv/bin/go env GOVERSION | cut -c3-), pgx $(version golang-github-jackc-pgx-v4-dev)," \
    "golang-jwt $(version golang-github-golang-jwt-jwt-dev)"
