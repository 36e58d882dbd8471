# usher alone, as an unprivileged user: docker build --tag usher .
#
# The base images are arguments, for registries of one's own and for places without any.
ARG RUST_IMAGE=docker.io/library/rust:1.95-bookworm
ARG RUNTIME_IMAGE=docker.io/library/debian:bookworm-slim

FROM ${RUST_IMAGE} AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked --bin usher \
 && strip target/release/usher \
 && install -d -m 0755 /out/etc/usher \
 && install -d -m 0750 -o 10001 -g 10001 /out/var/lib/usher \
 && install -D -m 0755 target/release/usher /out/usr/local/bin/usher

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
