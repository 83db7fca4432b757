# The cloud. Build from the repository's root:
#   docker build -f packaging/container/cloud.Dockerfile -t baywatt-cloud .
FROM python:3.11-slim-bookworm AS build
WORKDIR /src
COPY requirements/cloud.txt requirements/cloud.txt
RUN python -m venv /opt/baywatt-cloud \
 && /opt/baywatt-cloud/bin/pip install --no-cache-dir --require-hashes -r requirements/cloud.txt
COPY . .
RUN pip install --no-cache-dir hatchling editables \
 && pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheel . \
 && /opt/baywatt-cloud/bin/pip install --no-cache-dir --no-deps /wheel/*.whl

FROM python:3.11-slim-bookworm
RUN useradd --system --create-home --home-dir /var/lib/baywatt-cloud baywatt
COPY --from=build /opt/baywatt-cloud /opt/baywatt-cloud
USER baywatt
WORKDIR /var/lib/baywatt-cloud
ENV PATH=/opt/baywatt-cloud/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
EXPOSE 8080
HEALTHCHECK --interval=15s --timeout=3s --start-period=20s CMD ["python", "-c", \
 "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/health/ready', timeout=2)"]
CMD ["sh", "-c", "baywatt-cloud migrate && exec baywatt-cloud serve --host 0.0.0.0 --port 8080"]
