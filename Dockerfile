# KubeAI's image:                docker build -t REGISTRY/kubeai:TAG .
# with a record of the build:    docker buildx build --provenance=true --push -t REGISTRY/kubeai:TAG .
#
# The base is pinned by tag and digest; scripts/pin_images.py renews the digest. For another one, of your own mirror:
#     --build-arg BASE=MIRROR/python:3.13.7-slim-trixie@sha256:...
# With --build-arg RELEASE=1 a base without a digest is refused.
ARG BASE=docker.io/library/python:3.13.7-slim-trixie@sha256:5f55cdf0c5d9dc1a415637a5ccc4a9e18663ad203673173b8cda8f8dcacef689

FROM ${BASE} AS build
ARG BASE
ARG RELEASE=
RUN case "${RELEASE:+release} ${BASE}" in release*@sha256:* | " "*) ;; *) echo "a release needs a BASE with @sha256" && exit 1 ;; esac
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
RUN python -m venv --without-pip /opt/kubeai
# What changes seldom comes first, so that a change of the code does not download it again.
COPY components/build-requirements.txt components/manager/requirements.txt ./
RUN python -m pip install --require-hashes -r build-requirements.txt \
 && python -m pip --python /opt/kubeai/bin/python install --only-binary :all: --require-hashes -r requirements.txt
COPY pyproject.toml README.md LICENSE ./
COPY src src
COPY components/sbom.py ./
RUN python -m pip wheel --no-deps --no-build-isolation --wheel-dir dist . \
 && python -m pip --python /opt/kubeai/bin/python install --no-deps --no-index dist/*.whl \
 && python sbom.py kubeai requirements.txt /opt/kubeai > /opt/kubeai/sbom.cdx.json

FROM ${BASE}
LABEL org.opencontainers.image.title="kubeai" \
      org.opencontainers.image.description="Operator, gateway and autoscaler for machine-learning models" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/kubeai /opt/kubeai
# The root file system may be read-only: nothing is written outside /tmp.
ENV PATH=/opt/kubeai/bin:$PATH HOME=/tmp PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# A number, so that a kubelet can see that it is not root.
USER 65532:65532
EXPOSE 8000 8080 8081
ENTRYPOINT ["kubeai"]
CMD ["manager"]
