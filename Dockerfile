# The page and the command line in a container:
#
#     docker build -t hyperrestore .
#     docker run --rm --read-only --tmpfs /tmp -p 8642:8642 -e HYPERRESTORE_TOKEN="$(openssl rand -hex 24)" hyperrestore
#     docker run --rm --read-only --tmpfs /tmp -v "$PWD:/data" -u "$(id -u)" hyperrestore restore /data/a.jpg -o /data/b.png
#
# The engine uses as many threads as --cpus allows. Photos and results of open pages lie in /tmp.

FROM python:3.12-slim AS build
COPY . /source
RUN python -m venv /opt/hyperrestore \
    && /opt/hyperrestore/bin/pip install --no-cache-dir '/source[web,metrics,storage]' s3fs

FROM python:3.12-slim
COPY --from=build /opt/hyperrestore /opt/hyperrestore
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin hyperrestore
ENV PATH=/opt/hyperrestore/bin:$PATH HOME=/tmp PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 10001
WORKDIR /tmp
EXPOSE 8642
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8642/healthz', timeout=5)"]
ENTRYPOINT ["hyperrestore"]
CMD ["web", "--host", "0.0.0.0", "--no-open"]
