# The viewer: drives in a CARLA server or the town, shows or records what the inference server synthesizes.
#   docker build -f docker/viewer.Dockerfile -t vidrive-viewer .
FROM debian:bookworm-slim

WORKDIR /opt/vidrive
COPY constraints.txt ./
COPY docker/install.sh docker/
COPY docker/requirements docker/requirements
RUN docker/install.sh viewer /opt/venv packages
COPY . .
RUN docker/install.sh viewer /opt/venv project

# CARLA's client caches maps in the home folder.
ENV PATH=/opt/venv/bin:$PATH HOME=/tmp PYTHONUNBUFFERED=1 OPENBLAS_NUM_THREADS=1 PYGAME_HIDE_SUPPORT_PROMPT=1
USER 1000:1000
WORKDIR /recordings
ENTRYPOINT ["vidrive"]
CMD ["drive", "--help"]
