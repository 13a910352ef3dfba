# syntax=docker/dockerfile:1
# Two stages: the first runs the steps of `make setup`, the second keeps only their result.

FROM python:3.12-slim-bookworm AS build
WORKDIR /srv/lipstream
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 LIPSTREAM_CACHE_DIR=/srv/models
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY src ./src
RUN python -m venv /srv/venv \
 && /srv/venv/bin/python -m pip install --quiet . \
 && /srv/venv/bin/lipstream models pull

FROM python:3.12-slim-bookworm
LABEL org.opencontainers.image.title="lipstream" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --uid 10001 --no-create-home --home-dir /srv/lipstream lipstream
WORKDIR /srv/lipstream
COPY --from=build /srv/venv /srv/venv
COPY --from=build --chown=lipstream:lipstream /srv/models /srv/models
COPY app ./app
# Mount the Wav2Lip checkpoints here: docker run -v "$PWD/checkpoints:/srv/lipstream/checkpoints:ro" ...
# A volume for uploaded avatars takes its owner from here: docker run -v lipstream-avatars:/srv/models/avatars ...
RUN mkdir checkpoints && install -d -o lipstream -g lipstream /srv/models/avatars
ENV PATH=/srv/venv/bin:$PATH PYTHONUNBUFFERED=1 LIPSTREAM_CACHE_DIR=/srv/models
USER 10001
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=3s --start-period=30s \
  CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/readyz', timeout=2)"]
# `lipstream serve` and not plain uvicorn: it also sets the WebSocket message limit from the settings.
CMD ["lipstream", "serve", "--host", "0.0.0.0", "--port", "8000"]
