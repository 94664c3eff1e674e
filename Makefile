# For people. Each target is one script that also works by itself.
.DEFAULT_GOAL := help
PYTHON := .venv/bin/python
SEED ?= 1

help:           ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

serve:          ## install and start Vezha on this machine
	script/server

test:           ## all tests that this machine can run
	script/test

check:          ## style, types, layers, lock files
	script/check

fix:            ## the same, mending what a tool can mend
	script/check --fix

sim:            ## the simulated fleet from one seed: make sim SEED=7
	script/install test
	VEZHA_TEST_SEED=$(SEED) $(PYTHON) -P -m pytest tests/simulation -q

docs:           ## write the generated parts of the docs anew
	script/install test
	$(PYTHON) -m tests.docs.generate

lock:           ## write the lock files anew
	script/install test
	$(PYTHON) script/lock

screenshots:    ## pictures of every page into docs/screenshots
	script/install test
	$(PYTHON) -m benchmarks.screenshots

news:           ## what CHANGELOG.md would say now
	script/install test
	$(PYTHON) script/changelog

.PHONY: help serve test check fix sim docs lock news screenshots
