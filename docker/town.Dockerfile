# The town: a CARLA server for clients, without a GPU. Build from the repository's root:
#   docker build -f docker/town.Dockerfile -t vidrive-town .
FROM debian:bookworm-slim

WORKDIR /opt/vidrive
COPY constraints.txt ./
COPY docker/install.sh docker/
COPY docker/requirements docker/requirements
RUN docker/install.sh town /opt/venv packages
COPY . .
RUN docker/install.sh town /opt/venv project

# Any user id may run it; compiled kernels are cached in the home folder.
ENV PATH=/opt/venv/bin:$PATH HOME=/tmp PYTHONUNBUFFERED=1 OPENBLAS_NUM_THREADS=1
USER 1000:1000
EXPOSE 2000 2001
CMD ["vidrive", "town", "--host", "0.0.0.0", "--port", "2000"]
