# Two images: `service` (scheduler, migrations, Flower, workers that talk to a server) and `gpu` (vLLM in process).
#   docker build --target service -t tts-jobs .
#   docker build --target gpu -t tts-jobs-gpu .

FROM python:3.12-slim AS wheel
WORKDIR /src
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /dist .


FROM python:3.12-slim AS service
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 TTS_HOME=/var/lib/tts-jobs
COPY requirements/service.lock /tmp/service.lock
RUN pip install --no-cache-dir --require-hashes -r /tmp/service.lock && rm /tmp/service.lock
RUN --mount=from=wheel,source=/dist,target=/dist pip install --no-cache-dir --no-deps /dist/*.whl
# Named volumes take the owner of the directory that they are first mounted on.
RUN useradd --uid 1000 --create-home tts \
    && install -d -o tts -g tts /var/lib/tts-jobs /var/lib/flower /data
USER tts
WORKDIR /data
ENTRYPOINT ["tts-jobs"]
CMD ["--help"]


FROM vllm/vllm-openai:v0.33.0 AS gpu
ENV PYTHONUNBUFFERED=1 TTS_HOME=/var/lib/tts-jobs HF_HOME=/var/lib/tts-jobs/hub \
    VLLM_WORKER_MULTIPROC_METHOD=spawn
# What the image brings stays as it is: vLLM was built against those versions.
RUN --mount=from=wheel,source=/dist,target=/dist \
    python3 -m pip freeze | grep -E '^[A-Za-z0-9._-]+==' > /tmp/present.txt \
    && python3 -m pip install --no-cache-dir --constraint /tmp/present.txt "$(echo /dist/*.whl)[postgres]" \
    && rm /tmp/present.txt
RUN (getent passwd 1000 > /dev/null || useradd --uid 1000 --create-home tts) \
    && install -d -o 1000 -g 1000 /var/lib/tts-jobs /data
USER 1000
WORKDIR /data
# The worker is the main process: when it dies the container ends, and no engine process is left holding the GPU.
ENTRYPOINT ["tts-jobs"]
CMD ["--help"]
