# Each target is one line of work; what takes more is a test or a verb of perch.

BACKENDS := memory sqlite postgres redis d1 kv workerd chromium npm-clients bash-terminal fish zsh
REQUIRE_BACKENDS ?= bash-terminal,chromium,fish,npm-clients,postgres,redis,workerd,zsh
KILLS ?= 50
TIME ?= 1m
PARALLEL ?= 1
SEED ?= 0
N ?= 10000
PERCH_VERIFIED ?= $(CURDIR)/.cache/verified
export PERCH_VERIFIED

.DEFAULT_GOAL := help
.PHONY: help run build test test-all edge clients lint fmt generate bench torture torture-posts timing races fuzz

help: ## show what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## try Perch: in memory, with X in a box and a page that signs in
	@go build -o .cache/perch ./cmd/perch && exec .cache/perch dev --admin-token-file=.cache/perch.admin-token

build: ## build bin/perch
	CGO_ENABLED=0 go build -trimpath -o bin/perch ./cmd/perch

test: fresh ## run the tests; what needs a backend that is not here is skipped
	go test -timeout 30m ./... && $(MAKE) --no-print-directory verified

test-all: fresh ## run the tests under the race detector; a backend that is not here fails them
	REQUIRE_BACKENDS=$(REQUIRE_BACKENDS) go test -race -timeout 30m ./... && $(MAKE) --no-print-directory verified

edge: ## install what runs Cloudflare's engine here, from npm, and check the store Worker's types
	cd adapters/edge/store && npm ci --ignore-scripts --no-audit --no-fund && npm run --silent check

clients: ## install the OAuth and X clients that Perch is tried with, from npm
	cd clients/npm && npm ci --ignore-scripts --no-audit --no-fund

lint: ## run every linter, and check that what is generated is up to date
	test -z "$$(gofmt -l . | tee -a /dev/stderr)" && go vet ./... && go tool wire diff ./cmd/internal/wiring && go tool -modfile=tools/go.mod golangci-lint run ./...

fmt: ## format the code
	gofmt -w .

generate: ## write what is generated again
	go tool wire gen ./cmd/internal/wiring

bench: ## run the benchmarks; PERCH_BENCH_GRANTS=1000000 adds that many grants
	go test -run - -bench . -benchmem ./...

torture: ## kill replicas KILLS times in each of four setups, and count what was lost; SEED repeats a run
	@go test -c -o .cache/torture.test ./cmd/internal/torture && { .cache/torture.test -test.run TestTorture -test.timeout 9h \
		-kills=$(KILLS) -seed=$(SEED) -summary=.cache/torture; status=$$?; tail -n 1 .cache/torture; exit $$status; }

torture-posts: ## send N posts with keys in each of two setups while replicas are killed, and count what was posted twice
	@go test -c -o .cache/torture.test ./cmd/internal/torture && { .cache/torture.test -test.run TestPosts -test.timeout 9h \
		-posts=$(N) -seed=$(SEED) -summary=.cache/torture; status=$$?; cat .cache/torture; exit $$status; }

fuzz: ## let every fuzz target run for TIME, or FUZZ=name alone, PARALLEL inputs at once, and count
	@.ci/fuzz $(TIME) '$(FUZZ)' $(PARALLEL)

timing: ## time N existing and unknown API keys of each kind, and print whether time tells them apart
	go test -count=1 -run TestTimeDoesNotTell -v -timeout 1h ./cmd/internal/wiring -timings=$(N) | grep -v '^==='

races: ## run the tests of races twenty times under the race detector
	go test -race -count=20 -run 'Concurrent|AtOnce|Once|Many' ./app/... ./adapters/...

.PHONY: fresh verified
fresh:
	@mkdir -p $(dir $(PERCH_VERIFIED)) && rm -f $(PERCH_VERIFIED)

verified:
	@for b in $(BACKENDS); do grep -qsx $$b $(PERCH_VERIFIED) || echo "NOT VERIFIED: $$b"; done
	@echo "verified backends: $$(sort -u $(PERCH_VERIFIED) 2>/dev/null | paste -sd ' ' -)"
