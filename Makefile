# "make help" lists the targets. "make demo" shows what this is; "make test" is the one test command.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

GO       ?= go
GOBIN    := $(shell $(GO) env GOPATH)/bin
LINT     := $(shell command -v golangci-lint || ls $(GOBIN)/golangci-lint 2>/dev/null)
GOFUMPT  := $(shell command -v gofumpt || ls $(GOBIN)/gofumpt 2>/dev/null)
FUZZTIME ?= 10s
ARGS     ?=
FSYNC    ?= everysec
SCREENSHOTS ?= dist/screenshots

# Where goroutines meet. The rest is the same code with and without -race.
RACE := ./api/... ./console/... ./dispatcher/... ./notices/... ./queue/... ./replay/... ./retry/... ./sandbox/... \
	./signer/... ./store/...

.PHONY: help build build-otel demo docs interop screenshots test test-otel test-race test-faults bench bench-redis lint fmt
.PHONY: fuzz clean deps check

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## one static binary, bin/paynotify
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w' -o bin/paynotify ./cmd/paynotify

build-otel: ## the same with OpenTelemetry export of every attempt
	CGO_ENABLED=0 $(GO) build -tags otel,grpcnotrace -trimpath -ldflags '-s -w' -o bin/paynotify ./cmd/paynotify

demo: ## everything at once on this machine, with a live timeline (ARGS='--for 20s')
	@CGO_ENABLED=0 $(GO) run ./cmd/paynotify demo $(ARGS)

# -count 1: the tests in test/ run a binary that they build, which go's test cache does not see. The last
# lines are go test's own: nothing may follow.
test: deps check ## install what the tests need (apt, when root), then check and test everything
	$(GO) test -race -timeout 10m $(RACE)
	CGO_ENABLED=0 $(GO) test -timeout 10m ./dispatcher/egress
	$(GO) test -count 1 -timeout 5m -tags otel,grpcnotrace ./tracing ./test/tracing
	cd test/interop && $(GO) test -count 1 -timeout 10m ./...
	cd test/console && $(GO) test -count 1 -timeout 10m ./...
	$(GO) test -count 1 -timeout 10m ./...

interop: ## send through the binary to the providers' real SDKs (Go, and npm where it is)
	cd test/interop && $(GO) test -count 1 -timeout 10m -v ./...

test-otel: ## spans, against a collector on loopback
	$(GO) test -count 1 -timeout 5m -tags otel,grpcnotrace ./tracing ./test/tracing

screenshots: ## every page of the console, light, dark, narrow and in Chinese (SCREENSHOTS=dist/screenshots)
	cd test/console && SCREENSHOTS=$(abspath $(SCREENSHOTS)) $(GO) test -count 1 -timeout 10m -run TestScreenshots -v .

test-race: ## every package under the race detector (slow)
	$(GO) test -race -timeout 20m ./...

test-faults: ## kill, freeze, cut, fill, fail over: the whole fault matrix at full length, history checked
	FAULTS=full $(GO) test -count 1 -v -timeout 30m ./test/fault/...

bench: ## measure this machine beside a bare signing loop, in one run
	CGO_ENABLED=0 $(GO) run ./cmd/paynotify bench $(ARGS)

bench-redis: build ## the same on Redis, with a redis-server started for it (ARGS, FSYNC=always)
	@FSYNC=$(FSYNC) test/bench-redis $(ARGS)

lint: ## golangci-lint, which also checks the format
	@if [[ -z "$(LINT)" ]]; then \
		echo "golangci-lint is not installed: $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0"; exit 1; fi
	$(LINT) run ./...

fmt: ## format with gofumpt, or gofmt where it is absent
	$(if $(GOFUMPT),$(GOFUMPT),gofmt) -w $$(find . -name '*.go' -not -path './.*')

docs: ## rewrite docs/profiles.md, access.md, metrics.md and api/openapi.json from the code
	$(GO) test ./profile -run TestProfilesDoc -update
	$(GO) test ./api -run 'OpenAPI|AccessDoc' -update
	UPDATE=1 $(GO) test ./cmd/paynotify -run 'TestMetricsPage|TestSample'

fuzz: ## every fuzz target for FUZZTIME (10s)
	@for pkg in $$($(GO) list ./...); do \
		for target in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
			echo "$$pkg $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$pkg; \
		done; \
	done

clean: ## remove what the targets made
	rm -rf bin dist

# Not in the help: parts of "make test".
deps:
	@test/install-tools

check:
	@unformatted=$$(gofmt -l $$(find . -name '*.go' -not -path './.*')); \
		if [[ -n "$$unformatted" ]]; then echo "not formatted, run make fmt:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./...
	cd test/interop && $(GO) vet ./...
	cd test/console && $(GO) vet ./...
	@if [[ -n "$(LINT)" ]]; then set -x; $(LINT) run ./...; \
		else echo "golangci-lint is not installed: skipped (make lint says how to get it)"; fi
