# Serves a trained run: see docs/service.md.
FROM python:3.13-slim
WORKDIR /mman_jax
COPY pyproject.toml setup.cfg README.md LICENSE ./
COPY mman_jax mman_jax
COPY configs configs
# The versions are bounded in setup.cfg.
# hadolint ignore=DL3013
RUN pip install --no-cache-dir '.[serve,listen]' \
    && useradd --create-home --uid 10001 service
USER 10001
EXPOSE 8000
ENTRYPOINT ["mman", "serve", "--checkpoint=/model", "--host=0.0.0.0"]
