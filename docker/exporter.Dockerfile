# The exporter alone: four small libraries, no compiler, no numpy.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
WORKDIR /src
RUN python -m venv --without-pip /venv
COPY pyproject.toml docker/requirements.py ./
RUN python requirements.py prometheus-client psutil pydantic pyyaml > requirements.txt \
 && pip --python /venv/bin/python install --no-cache-dir -r requirements.txt
COPY exporter exporter
RUN cp -r exporter "$(/venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" \
 && /venv/bin/python -m compileall -q /venv

FROM ${BASE}
COPY --from=build /venv /venv
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# A number, so that Kubernetes' runAsNonRoot can tell.
USER 10001:10001
EXPOSE 9100
ENTRYPOINT ["python", "-m", "exporter"]
CMD ["serve"]
