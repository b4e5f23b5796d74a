# One image for web, worker, beat and release; compose.yaml says which command each runs. Needs no root, writes to /data and /tmp alone.
ARG PYTHON=3.13

FROM python:${PYTHON}-slim AS libraries
RUN python -m venv /opt/venv
COPY requirements.txt /tmp/
# Hashes are required, and nothing is built from source, so no compiler and no stranger's setup.py has a say here.
RUN /opt/venv/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes --only-binary :all: -r /tmp/requirements.txt

FROM python:${PYTHON}-slim
# Debian packages that an installation wants besides, such as --build-arg PACKAGES="ffmpeg".
ARG PACKAGES=""
RUN if [ -n "$PACKAGES" ]; then \
      apt-get update && apt-get install -y --no-install-recommends $PACKAGES && rm -rf /var/lib/apt/lists/*; \
    fi
RUN groupadd --system --gid 10001 courseapp \
    && useradd --system --uid 10001 --gid courseapp --no-create-home --home-dir /tmp --shell /usr/sbin/nologin courseapp \
    && install --directory --owner courseapp --group courseapp --mode 0700 /data /data/tmp
COPY --from=libraries /opt/venv /opt/venv
WORKDIR /app
COPY worker.py ./
COPY gunicorn.conf.py ./
COPY migrations ./migrations
COPY content ./content
COPY templates ./templates
COPY courseapp ./courseapp
# Compiled here, for nothing can be written beside the source later, and uncompiled every start takes twice as long.
RUN /opt/venv/bin/python -m compileall -q courseapp migrations worker.py
# Style and scripts are sent compressed, also where no proxy does it. Only here: beside a checkout, copies would outlive what they are of.
RUN /opt/venv/bin/python -m whitenoise.compress --quiet courseapp/static
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 MALLOC_ARENA_MAX=2 HOME=/tmp MODE=production HOST=0.0.0.0 PORT=8000 DATA_DIR=/data
USER 10001:10001
VOLUME /data
EXPOSE 8000
CMD ["gunicorn"]
