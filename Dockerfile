# One static binary in an empty image. Run it read-only:
#   docker run --read-only --cap-drop ALL -v paynotify:/data -p 8080:8080 \
#     -e PAYNOTIFY_AUTH_ADMIN_KEY=… paynotify
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o /out/paynotify ./cmd/paynotify
# An empty folder that the volume takes its owner from: there is no shell in the image to make one.
RUN mkdir /out/data

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/paynotify /paynotify
COPY --from=build --chown=65532:65532 /out/data /data
USER 65532:65532
# The database, its lock and the generated master key live here; nothing else is written.
VOLUME /data
WORKDIR /data
ENV PAYNOTIFY_STORE=sqlite:/data/paynotify.db \
    PAYNOTIFY_LISTEN=0.0.0.0:8080 \
    TMPDIR=/data
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["/paynotify", "health"]
ENTRYPOINT ["/paynotify"]
CMD ["serve"]
