# What each command does is in tools/; here are only their names. `make` lists them.
# The first one that is there, starts, and is new enough (macOS's own python3 may not be).
PYTHON ?= $(shell for p in .venv/bin/python python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done || true)
PORT ?= 8000
IN_ENV = $(or $(PYTHON),$(error Python 3.11 or newer is needed)) -m tools.env

.PHONY: help run setup build dist check test test-full soak bench clean

help:           ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-11s %s\n", $$1, $$2}' Makefile

run:            ## set up, build, start the gateway with the app (PORT=8000; DEMO=1: see it survive)
	@$(IN_ENV) run -m tools.run --port $(PORT) --demo "$(DEMO)"

setup:          ## the virtual environment and the browser's packages
	@$(IN_ENV) run -m tools.node

build:          ## dist/, when an input has changed
	@$(IN_ENV) run -m tools.build

dist:           ## the folder for any static host
	@$(IN_ENV) run -m tools.build --explain

check:          ## linters, types, and that generated files are up to date
	@$(IN_ENV) dev -m tools.check

test:           ## all tests that need no more than a browser (installs one if it can)
	@$(IN_ENV) dev -m tools.tests test $(ARGS)

test-full:      ## those that need other browsers and many rounds as well
	@$(IN_ENV) dev -m tools.tests full $(ARGS)

soak:           ## the long ones
	@$(IN_ENV) dev -m tools.tests soak $(ARGS)

bench:          ## the numbers, as a table and JSON
	@$(IN_ENV) bench -m tools.bench $(ARGS)

clean:          ## everything that was made, except the virtual environment and data/
	rm -rf build dist node_modules bench-results py/fieldpost/hosts/browser/glue.js
