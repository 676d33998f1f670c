# Pinned by version; pin the digest of the image that you have pulled and checked, if your policy asks.
FROM python:3.12.13-slim-trixie AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
COPY requirements.txt requirements-build.txt requirements-backup.txt ./
# `--build-arg EXTRAS=backup` adds what encrypted backups, and those in object stores, need.
ARG EXTRAS
# Two environments, one to run and one to build. Only wheels: nothing is compiled, no script runs.
RUN python -m venv --without-pip /opt/cinelog \
 && python -m venv --without-pip /opt/build \
 && pip --python /opt/cinelog/bin/python install --only-binary=:all: --require-hashes \
        -r requirements.txt ${EXTRAS:+-r requirements-$EXTRAS.txt} \
 && pip --python /opt/build/bin/python install --only-binary=:all: --require-hashes -r requirements-build.txt
COPY pyproject.toml README.md LICENSE ./
COPY examples/movies.csv examples/
COPY commands commands
COPY projections projections
COPY queries queries
COPY service service
RUN /opt/build/bin/python -m hatchling build -t wheel -d /opt/wheels \
 && pip --python /opt/cinelog/bin/python install --no-index --no-deps /opt/wheels/cinelog-*.whl \
 && python -m compileall -q -j 0 /opt/cinelog/lib

FROM python:3.12.13-slim-trixie
LABEL org.opencontainers.image.title="Cinelog" \
      org.opencontainers.image.description="An event-sourced movies API" \
      org.opencontainers.image.licenses="MIT"
# No installer is needed any more. The directories give new volumes their owner.
RUN pip uninstall --yes --quiet --root-user-action=ignore pip \
 && groupadd --gid 10001 cinelog \
 && useradd --uid 10001 --gid cinelog --no-create-home --home-dir /data --shell /usr/sbin/nologin cinelog \
 && install -d -o cinelog -g cinelog -m 0700 /data /keys /backups
COPY --from=build /opt/cinelog /opt/cinelog
ENV PATH=/opt/cinelog/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    CINELOG_DATA_DIR=/data \
    CINELOG_HOST=0.0.0.0
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/livez', timeout=3)"]
CMD ["cinelog", "serve"]
