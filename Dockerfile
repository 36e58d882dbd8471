# usher alone, as an unprivileged user: docker build --tag usher .
#
# The base images are arguments, for registries of one's own and for places without any.
ARG RUST_IMAGE=docker.io/library/rust:1.95-bookworm
ARG RUNTIME_IMAGE=docker.io/library/debian:bookworm-slim

FROM ${RUST_IMAGE} AS build
# By what usher was seen to do, which saves a sixth of its instructions (docs/performance.md);
# "no" takes half the time to build.
ARG OPTIMISE=yes
WORKDIR /src
COPY . .
RUN set -e; \
    if [ "$OPTIMISE" = no ]; then \
      cargo build --release --locked --bin usher; \
      install -D target/release/usher target/optimised/usher; \
    else \
      command -v h2load >/dev/null || { apt-get update; apt-get install --yes \
        --no-install-recommends nghttp2-client openssl python3; }; \
      deploy/optimise; \
    fi
RUN strip target/optimised/usher \
 && install -d -m 0755 /out/etc/usher \
 && install -d -m 0750 -o 10001 -g 10001 /out/var/lib/usher \
 && install -D -m 0755 target/optimised/usher /out/usr/local/bin/usher

FROM ${RUNTIME_IMAGE}
COPY --from=build /out/ /
# By number, so that Kubernetes' runAsNonRoot can tell.
USER 10001:10001
ENV USHER_CONFIG=/etc/usher/usher.yaml
EXPOSE 8080 9901
# Asks the running usher over its control port; it answers as long as usher lives, whatever the
# monolith does.
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 CMD ["usher", "status"]
ENTRYPOINT ["usher"]
CMD ["run"]
