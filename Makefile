# make test is all a change needs; make help lists the rest.
GO ?= go
TESTFLAGS ?=

.PHONY: help test build vet fuzz clean

help: ## what there is
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

build: ## the program, as ./evalq
	$(GO) build -o evalq .

vet: ## formatting and vet
	@out=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$out" ]; then echo "gofmt:" $$out >&2; exit 1; fi
	$(GO) vet ./...

test: ## every test, after getting what they need
	@./scripts/need gcc redis-server postgres mariadbd
	$(GO) test -race -count=1 -timeout 20m $(TESTFLAGS) ./...

fuzz: ## each fuzz target for ten seconds
	@for pkg in $$($(GO) list ./...); do \
	  for f in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
	    $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime 10s $$pkg || exit 1; \
	  done; \
	done

clean: ## what was built
	rm -f evalq
