# Keyhole. Needs Go, make and a C compiler (for the race detector); everything else is fetched or left out with a word.
GO    ?= go
CACHE := .cache

# golangci-lint carries the real gofumpt, staticcheck and govet inside, at the versions that tools/go.sum pins, so there
# are no separate binaries of them. It is built from source once into a folder that git ignores, without asking
# repositories directly where the module proxy refuses, and without touching tools/go.mod.
LINT_VERSION := $(shell sed -n 's|.*github.com/golangci/golangci-lint/v2 \(v[0-9.]*\).*|\1|p' tools/go.mod)
LINT         := $(CACHE)/tools/golangci-lint-$(LINT_VERSION)

# OpenBao, the real vault that integration tests start. It is no Go tool of this module: tools/bao pins it, with the sums
# of all it is made of.
BAO_VERSION := $(shell sed -n 's|^	github.com/openbao/openbao/sdk/v2 \(v[0-9.]*\)$$|\1|p' tools/bao/go.mod)
BAO         := $(CACHE)/tools/bao-$(BAO_VERSION)

# oidc-provider and dynalite, the real OpenID provider and the DynamoDB that integration tests start. Their lock files pin
# them, with the sums of all they are made of.
OIDC     := $(CACHE)/oidc
DYNALITE := $(CACHE)/dynalite

# The systems that a release is built for, and those whose users run the client commands.
SERVERS := linux/amd64 linux/arm64
CLIENTS := darwin/arm64 windows/amd64

FUZZTIME ?= 10s
KILLS    ?= 1000

# Findings are remembered by path: a cache shared with another checkout would tell of its files.
export GOLANGCI_LINT_CACHE := $(abspath $(CACHE))/lint

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help build lambda layer run demo test test-integration check bench bench-coldstart soak policies policies-native fuzz tools deps fmt clean \
	check-lint check-vet check-test check-tidy check-build check-policies check-native check-reproduced check-tree

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

build: ## build bin/keyhole, with machine code of the builtin policies in it
	GO="$(GO)" ./policies/native.sh $$($(GO) env GOARCH)
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/keyhole ./cmd/keyhole

lambda: policies-native ## build the Lambda function's packages, bin/lambda-arm64.zip and bin/lambda-amd64.zip
	GO="$(GO)" ./scripts/lambda

layer: policies-native ## build the layers with the Lambda extension, bin/layer-arm64.zip and bin/layer-amd64.zip
	GO="$(GO)" ./scripts/layer

run: build ## start a server with a demo secret, read it, and keep serving
	./scripts/tour --keep

demo: build ## the same, then stop
	./scripts/tour

test: ## all tests, with the race detector and in random order
	$(GO) test -race -shuffle=on -timeout 20m ./... # some build programs first, which takes minutes where the cache is empty

# All tests of the packages that have some which need it.
test-integration: $(BAO) $(OIDC)/installed $(DYNALITE)/installed ## tests against a real OpenBao, which is built once, a real OpenID provider and a DynamoDB
	KEYHOLE_BAO=$(abspath $(BAO)) \
	KEYHOLE_OIDC_PROVIDER=$$(test -s $(OIDC)/installed && echo $(abspath $(OIDC))) \
	KEYHOLE_DYNALITE=$$(test -s $(DYNALITE)/installed && echo $(abspath $(DYNALITE))) \
		$(GO) test -race -shuffle=on -count=1 -timeout 20m $$(grep -rlE --include='*_test.go' '/(baotest|oidctest|dynalitetest)"$$' cmd functions proxy | xargs -n1 dirname | sort -u | sed 's|^|./|')

check: check-lint check-vet check-test check-tidy check-build check-policies check-native check-reproduced check-tree ## everything that must hold before a merge; wants a clean tree
	@echo "check: all good"

bench: ## benchmarks, printed as ratios against their baselines (BENCH_SHORT=1 for a look)
	CGO_ENABLED=0 $(GO) run ./bench

bench-coldstart: ## the start of the function and of the extension against an empty function (BENCH_SHORT=1 for a look)
	GO="$(GO)" ./policies/native.sh $$($(GO) env GOARCH)
	CGO_ENABLED=0 $(GO) run ./bench/coldstart

soak: ## 1,000 servers killed under load: nothing that was answered is lost (KILLS=1000)
	KEYHOLE_KILLS=$(KILLS) $(GO) test -count=1 -timeout 60m -v -run '^TestKillLosesNothing$$' ./cmd/keyhole

policies: ## rebuild the committed policies, where their compiler is present
	$(MAKE) -C policies all

policies-native: ## make machine code of the builtin policies for linux/amd64 and linux/arm64, for the next builds
	GO="$(GO)" ./policies/native.sh

fuzz: ## run every fuzz target for FUZZTIME (10s)
	./scripts/fuzz $(FUZZTIME)

tools: $(LINT) ## build the developer tools

deps: ## install the policy compiler, the load generator, the emulator of other processors, botocore, and what the documents' commands use (Debian packages; needs root)
	apt-get install -y --no-install-recommends clang lld wabt wrk qemu-user-static python3-botocore jq zip

fmt: $(LINT) ## format all Go files
	$(LINT) fmt

clean: ## remove what make built
	rm -rf bin $(CACHE) bench/results
	find policies/native -type f ! -name .gitignore -exec rm -f {} +

$(LINT):
	@mkdir -p $(@D)
	@echo "building golangci-lint $(LINT_VERSION), once: several minutes of CPU time"
	cd tools && GOPROXY="$$($(GO) env GOPROXY | sed 's/,direct//')" GOFLAGS=-mod=readonly CGO_ENABLED=0 \
		$(GO) build -trimpath -ldflags='-s -w' -o ../$@.part github.com/golangci/golangci-lint/v2/cmd/golangci-lint
	@mv $@.part $@

$(BAO):
	@mkdir -p $(@D)
	@echo "building OpenBao $(BAO_VERSION), once: five minutes of CPU time or more"
	cd tools/bao && GOPROXY="$$($(GO) env GOPROXY | sed 's/,direct//')" GOFLAGS=-mod=readonly CGO_ENABLED=0 \
		$(GO) build -trimpath -ldflags='-s -w' -o ../../$@.part github.com/openbao/openbao
	@mv $@.part $@

$(OIDC)/installed: proxy/identity/jwks/oidctest/package-lock.json
$(DYNALITE)/installed: proxy/proxytest/dynalitetest/package-lock.json

# The file is empty where there is no npm.
$(OIDC)/installed $(DYNALITE)/installed:
	@mkdir -p $(@D)
	cp $< $(<:-lock.json=.json) $(@D)
	@if ! command -v npm >/dev/null; then echo "no npm: the tests that need $(@D) are left out"; : >$@; exit 0; fi; \
		cd $(@D) && npm ci --ignore-scripts --no-audit --no-fund && npm --version >installed

check-lint: $(LINT)
	$(LINT) config verify
	$(LINT) run ./...

check-vet:
	$(GO) vet ./...

# Once more without the race detector, under which tests of allocations are left out. The import rules are tests too.
check-test:
	$(GO) test -count=1 -timeout 20m ./... # the command's tests build it, which the cache of results does not see

check-tidy:
	$(GO) mod tidy -diff
	$(GO) mod verify

check-build:
	@for target in $(SERVERS); do \
		echo "build ./... for $$target"; \
		CGO_ENABLED=0 GOOS=$${target%/*} GOARCH=$${target#*/} $(GO) build ./... || exit 1; \
	done
	@for target in $(CLIENTS); do \
		echo "build ./cmd/... for $$target"; \
		CGO_ENABLED=0 GOOS=$${target%/*} GOARCH=$${target#*/} $(GO) build -o /dev/null ./cmd/keyhole || exit 1; \
	done

check-policies:
	$(MAKE) -C policies check

# It fails where the engine does not load what it made, or makes different bytes the second time.
check-native: policies-native

# What is built for Lambda is the same bytes wherever it is built.
check-reproduced: policies-native
	GO="$(GO)" ./scripts/reproduce

# Last, so that whatever the checks themselves changed is seen as well.
check-tree:
	@if ! git rev-parse --git-dir >/dev/null 2>&1; then echo "check: not a git clone, the tree is not compared"; exit 0; fi; \
	dirty=$$(git status --porcelain) || exit 1; \
	if [ -n "$$dirty" ]; then echo "check: files differ from the commit:"; echo "$$dirty"; exit 1; fi
