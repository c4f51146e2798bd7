# Serves a trained run: see docs/service.md.
FROM python:3.11-slim
WORKDIR /mman_jax
COPY pyproject.toml setup.cfg README.md LICENSE ./
COPY mman_jax mman_jax
COPY configs configs
COPY experiments experiments
RUN pip install --no-cache-dir '.[serve,listen]' \
    && useradd --create-home service
USER service
EXPOSE 8000
ENTRYPOINT ["python", "-m", "experiments.serve", "--checkpoint=/model", "--host=0.0.0.0"]
