# The inference server. The default index gives the CUDA build of torch, which brings its own CUDA libraries: the base image
# adds what the NVIDIA container runtime looks for. It runs on the CPU where the container is given no GPU.
#   docker build -f docker/server.Dockerfile -t vidrive-server .
FROM nvidia/cuda:13.0.2-base-ubuntu24.04

WORKDIR /opt/vidrive
COPY constraints.txt ./
COPY docker/install.sh docker/
COPY docker/requirements docker/requirements
RUN docker/install.sh server /opt/venv packages
COPY . .
RUN docker/install.sh server /opt/venv project

# Waiting threads sleep instead of spinning, and frame-sized buffers stay in the heap: other processes share the cores.
ENV PATH=/opt/venv/bin:$PATH HOME=/tmp PYTHONUNBUFFERED=1 \
    OMP_WAIT_POLICY=PASSIVE GOMP_SPINCOUNT=0 OPENBLAS_NUM_THREADS=1 \
    MALLOC_MMAP_THRESHOLD_=33554432 MALLOC_TRIM_THRESHOLD_=268435456
USER 1000:1000
EXPOSE 5790
# Beyond one host the server wants CURVE keys; docker/make_keys.py makes a pair.
CMD ["vidrive", "serve", "--listen", "tcp://0.0.0.0:5790", "--curve-secret", "/keys/secret/renderer.key_secret"]
