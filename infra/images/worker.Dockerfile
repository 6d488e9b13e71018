# Training and flows: the Prefect worker; also the Prefect server, and the store of the lock file.
# Built in the checkout by `make images`. The base is as that of serving.
ARG BASE=docker.io/library/python:3.12.8-slim-bookworm

FROM ${BASE} AS build
# More for pip to install beside the lock, such as tensorflow[and-cuda].
ARG EXTRA=""
WORKDIR /checkout
RUN python3 -m venv /build && /build/bin/pip install --no-cache-dir uv==0.13.9
COPY pyproject.toml uv.lock README.md deployments.yaml ./
RUN UV_PROJECT_ENVIRONMENT=/opt/overnight /build/bin/uv sync --frozen --no-cache --no-dev \
    --no-install-project --extra serving --extra training --extra postgresql --extra stack \
    --extra control-plane --python "$(command -v python3)"
COPY . .
RUN UV_PROJECT_ENVIRONMENT=/opt/overnight /build/bin/uv sync --frozen --no-cache --no-dev \
    --no-editable --extra serving --extra training --extra postgresql --extra stack \
    --extra control-plane --python "$(command -v python3)" --compile-bytecode
RUN test -z "${EXTRA}" || VIRTUAL_ENV=/opt/overnight /build/bin/uv pip install "${EXTRA}"

FROM ${BASE}
COPY --from=build /opt/overnight /opt/overnight
COPY infra/images/entrypoint.sh /usr/local/bin/entrypoint
RUN install -d -o 65532 -g 65532 -m 0700 /var/lib/overnight
# The server writes its UI there at each start, and by default beside its sources.
ENV PATH=/opt/overnight/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/var/lib/overnight \
    OVERNIGHT_HOME=/var/lib/overnight \
    PREFECT_HOME=/var/lib/overnight/prefect \
    PREFECT_SERVER_UI_STATIC_DIRECTORY=/var/lib/overnight/prefect-ui
WORKDIR /var/lib/overnight
USER 65532:65532
EXPOSE 8080 4200
# Fails when the worker has not asked Prefect for work in time.
HEALTHCHECK --interval=30s --timeout=10s --start-period=120s --retries=4 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/health', timeout=8)"]
ENTRYPOINT ["/usr/local/bin/entrypoint"]
CMD ["worker"]
