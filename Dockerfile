# Two images from one lock: `app` (the API; no numpy, no model) and `traffic` (the shipped workflow, with its model).
# Proxies come in as the usual build arguments; certificates of one's own as a secret:
#   docker build --secret id=certificates,src=/etc/ssl/certs/ca-certificates.crt -t glasscache:0.1.0 .

ARG PYTHON=python:3.11-slim-bookworm

# uv, by its hash, and what uv.lock says of the tools that build our own wheel
FROM ${PYTHON} AS builder
WORKDIR /opt/glasscache
ENV SSL_CERT_FILE=/run/secrets/certificates UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1
COPY pyproject.toml uv.lock ./
COPY tools/bootstrap.py tools/
RUN --mount=type=secret,id=certificates --mount=type=cache,target=/root/.cache/uv \
    python3 tools/bootstrap.py export --quiet --locked --only-group dev --no-emit-project --output-file /build/tools.txt

# the dependencies are layers of their own, so that a change of our code does not fetch them again
FROM builder AS app-packages
RUN --mount=type=secret,id=certificates --mount=type=cache,target=/root/.cache/uv \
    python3 tools/bootstrap.py sync --locked --no-dev --no-install-project --extra api

FROM builder AS traffic-packages
RUN --mount=type=secret,id=certificates --mount=type=cache,target=/root/.cache/uv \
    python3 tools/bootstrap.py sync --locked --no-dev --no-install-project --extra demo

FROM builder AS wheel
COPY README.md LICENSE ./
COPY cache cache
COPY telemetry telemetry
RUN --mount=type=secret,id=certificates --mount=type=cache,target=/root/.cache/uv \
    python3 tools/bootstrap.py build --wheel --build-constraints /build/tools.txt --require-hashes --out-dir /build/dist

FROM app-packages AS app-environment
RUN --mount=type=bind,from=wheel,source=/build/dist,target=/build/dist \
    python3 tools/bootstrap.py pip install --offline --no-deps --python .venv/env/bin/python /build/dist/*.whl

FROM traffic-packages AS traffic-environment
RUN --mount=type=bind,from=wheel,source=/build/dist,target=/build/dist \
    python3 tools/bootstrap.py pip install --offline --no-deps --python .venv/env/bin/python /build/dist/*.whl

FROM ${PYTHON} AS runtime
LABEL org.opencontainers.image.title="glasscache" \
      org.opencontainers.image.description="A cache layer for agent workflows that one can see through" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="MIT"
# nothing is installed at run time: the base's pip goes, wherever the base has it
RUN rm -rf /usr/local/bin/pip* /usr/local/lib/python3.*/site-packages/pip* /usr/bin/pip* /usr/lib/python3/dist-packages/pip* \
    && useradd --uid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin glasscache
ENV PATH=/opt/glasscache/.venv/env/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
WORKDIR /tmp
USER 10001:10001
ENTRYPOINT ["glasscache"]

FROM runtime AS traffic
COPY --from=traffic-environment /opt/glasscache/.venv/env /opt/glasscache/.venv/env
EXPOSE 9464
CMD ["traffic"]

# the last one is what `docker build .` makes
FROM runtime AS app
COPY --from=app-environment /opt/glasscache/.venv/env /opt/glasscache/.venv/env
EXPOSE 8000 9464
CMD ["serve", "--host", "0.0.0.0"]
