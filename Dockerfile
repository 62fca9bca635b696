# One image for every subcommand: the bundle on Node, without shell and npm. Both bases can be pinned by digest:
# --build-arg BUILD_BASE=node:24-slim@sha256:… --build-arg BASE=gcr.io/distroless/nodejs24-debian12@sha256:…
ARG BUILD_BASE=node:24-slim
ARG BASE=gcr.io/distroless/nodejs24-debian12

FROM ${BUILD_BASE} AS build
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
# Nothing of the install scripts is needed here: esbuild's own only saves it a process.
RUN npm ci --ignore-scripts
COPY build/bundle.ts build/
COPY src src
# No stack trace of a release is read with source maps, and they are larger than the program.
RUN node build/bundle.ts dist && rm dist/*.map

FROM ${BASE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="vmsnapshot-operator" \
      org.opencontainers.image.description="Kubernetes operator for microVM snapshots that live as directories on nodes" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
WORKDIR /app
COPY --from=build /build/dist ./
COPY LICENSE ./
# One arena: the worker thread allocates little, and another arena would cost 4 MB. A small young generation: each of the two threads would let its own
# grow to three times 16 MB and give nothing back.
ENV NODE_ENV=production MALLOC_ARENA_MAX=1 NODE_OPTIONS=--max-semi-space-size=1
# nonroot of the base; the agent's manifest says otherwise.
USER 65532:65532
ENTRYPOINT ["/nodejs/bin/node", "/app/main.js"]
CMD ["--help"]
