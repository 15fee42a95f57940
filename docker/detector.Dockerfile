# The detector, and the `mda` command that renders configuration and migrates the database.
ARG BASE=python:3.11-slim-bookworm
ARG PROMETHEUS=prom/prometheus:v3.5.0

FROM ${BASE} AS build
WORKDIR /src
RUN python -m venv --without-pip /venv
COPY pyproject.toml docker/requirements.py ./
RUN python requirements.py > requirements.txt \
 && pip --python /venv/bin/python install --no-cache-dir -r requirements.txt
COPY README.md LICENSE ./
COPY exporter exporter
COPY detector detector
RUN pip --python /venv/bin/python install --no-cache-dir --no-deps .

# promtool checks policies and runs their tests before Prometheus is given their rules.
FROM ${PROMETHEUS} AS prometheus

FROM ${BASE}
COPY --from=build /venv /venv
COPY --from=prometheus /bin/promtool /usr/local/bin/promtool
WORKDIR /app
COPY prometheus.yml alertmanager.yml ./
COPY rules rules
COPY docker/init.sh /usr/local/bin/mda-init
# A new volume takes its owner from the folder that it covers.
RUN chmod 755 /usr/local/bin/mda-init && install -d -o 10001 -g 10001 /data && install -d -o 10001 -g 10001 /rendered/rules/generated /rendered/rules /rendered
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    MDA_HOME=/data NUMBA_CACHE_DIR=/data/cache/numba
USER 10001:10001
EXPOSE 8490
ENTRYPOINT ["mda"]
CMD ["serve"]
