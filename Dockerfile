FROM python:3.12-slim
WORKDIR /app
COPY requirements.txt requirements-build.txt ./
RUN pip install --no-cache-dir --require-hashes -r requirements.txt -r requirements-build.txt
COPY . .
RUN pip install --no-cache-dir --no-deps --no-build-isolation . \
 && useradd --create-home cinelog && install -d -o cinelog -m 0700 /data
USER cinelog
ENV CINELOG_DATA_DIR=/data CINELOG_HOST=0.0.0.0
EXPOSE 8000
CMD ["cinelog", "serve"]
