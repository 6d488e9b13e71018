# Serving alone: LiteRT, and nothing of training. Built in the checkout by `make images`.
# The base is any image with Python 3.11 to 3.13 and its module venv.
ARG BASE=docker.io/library/python:3.12.8-slim-bookworm

FROM ${BASE} AS build
WORKDIR /checkout
RUN python3 -m venv /build && /build/bin/pip install --no-cache-dir uv==0.13.9
COPY pyproject.toml uv.lock README.md deployments.yaml ./
# First what the lock names, so that a change of our own code leaves this layer.
RUN UV_PROJECT_ENVIRONMENT=/opt/overnight /build/bin/uv sync --frozen --no-cache --no-dev \
    --no-install-project --extra serving --python "$(command -v python3)"
COPY . .
RUN UV_PROJECT_ENVIRONMENT=/opt/overnight /build/bin/uv sync --frozen --no-cache --no-dev \
    --no-editable --extra serving --python "$(command -v python3)" --compile-bytecode

FROM ${BASE}
COPY --from=build /opt/overnight /opt/overnight
COPY infra/images/entrypoint.sh /usr/local/bin/entrypoint
# The volume takes over the owner; a read-only root needs it and /tmp alone to be writable.
RUN install -d -o 65532 -g 65532 -m 0700 /var/lib/overnight
ENV PATH=/opt/overnight/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    OVERNIGHT_HOME=/var/lib/overnight \
    OVERNIGHT_IDENTITY=serving \
    OVERNIGHT_SERVING_HOST=0.0.0.0
WORKDIR /var/lib/overnight
USER 65532:65532
EXPOSE 8080 8081
# Ready while every served model is loaded; a host that drains is not.
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/readyz', timeout=4)"]
ENTRYPOINT ["/usr/local/bin/entrypoint"]
CMD ["python", "-m", "overnight.serving"]
