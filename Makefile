# canaryd: canary deployments of machine-learning models. `make help` lists what there is.
# One non-recursive Makefile; everything it makes is under $(BUILD).

VERSION := 0.1.0
SAN     ?=
BUILD   ?= build$(if $(SAN),/san)
PREFIX  ?= /usr/local
WERROR  ?= 1
PYTHON  ?= 1
PORT    ?= 8000
V       ?= 0
ifeq ($(MAKELEVEL),0)
MAKEFLAGS += -j$(shell nproc 2>/dev/null || echo 2)
endif

CC      ?= cc
OPT     ?= -O2 -g
WARN    := -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Wstrict-prototypes \
           -Wmissing-prototypes -Wformat=2 -Wundef -Wvla -Wcast-qual -Wwrite-strings \
           -Wnull-dereference -Wimplicit-fallthrough $(if $(filter 1,$(WERROR)),-Werror)
HARDEN  := -fstack-protector-strong -fPIE -fno-common -fcf-protection=full -fstack-clash-protection \
           $(if $(SAN),,-D_FORTIFY_SOURCE=2)
SANFLAG := $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer)

# msgpack-c is `msgpack` to pkg-config on Debian 12 and `msgpack-c` in newer releases.
MSGPACK := $(shell pkg-config --exists msgpack 2>/dev/null && echo msgpack || echo msgpack-c)
PKGS    := libevent $(MSGPACK) libcjson libmd libseccomp
# Libraries' headers come in as system headers: our warnings are for our code.
PKG_INC := $(subst -I,-isystem ,$(shell pkg-config --cflags-only-I $(PKGS) libRmath 2>/dev/null))

# -ffp-contract=off: predictions must equal scikit-learn's to the last bit on any target.
CPPFLAGS += -I. $(PKG_INC) -D_GNU_SOURCE -DCANARYD_VERSION='"$(VERSION)"' -DMATHLIB_STANDALONE
CFLAGS   += -std=c17 $(OPT) -ffp-contract=off $(WARN) $(HARDEN) $(SANFLAG)
LDFLAGS  += -pie -Wl,-z,relro,-z,now -Wl,--as-needed $(SANFLAG)
LDLIBS   += -levent_core -levent_extra $(shell pkg-config --libs $(MSGPACK) libcjson libmd libseccomp 2>/dev/null) \
            -lRmath -lm -pthread

Q := $(if $(filter 1,$(V)),,@)
say = $(if $(filter 1,$(V)),,@printf '  %-5s %s\n' '$(1)' '$(2)')

objects = $(patsubst %.c,$(BUILD)/%.o,$(wildcard $(1)))
COMMON := $(call objects,common/*.c)
PROTO  := $(call objects,proto/*.c)
JUDGE  := $(call objects,judge/*.c)
SUPER  := $(call objects,supervisor/*.c)
WORKER := $(call objects,worker/*.c)
CTL    := $(call objects,ctl/*.c)
# Everything but the three main()s, for the unit tests to pick from.
ALL_OBJECTS := $(filter-out %/main.o,$(COMMON) $(PROTO) $(JUDGE) $(SUPER) $(WORKER) $(CTL))
PROGRAMS := $(BUILD)/canaryd $(BUILD)/canary-worker $(BUILD)/canaryctl

UNIT_TESTS        := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/unit/test_*.c))
INTEGRATION_TESTS := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/integration/test_*.c))
# A program that the unit tests start as a worker; of the rest each takes what it names, and
# so may take the place of what it does not want.
EVIL_WORKER       := $(BUILD)/tests/support/evil_worker
# Preloaded by tests: the n-th allocation fails; the disk is slow; canaryd dies at a named point.
FAILING_MALLOC    := $(BUILD)/tests/support/failing_malloc.so
SLOW_DISK         := $(BUILD)/tests/support/slow_disk.so
TRIPWIRE          := $(BUILD)/tests/support/tripwire.so
FOR_VALGRIND      := $(BUILD)/tests/support/for_valgrind.so
TEST_SUPPORT      := $(filter-out $(EVIL_WORKER).o $(TRIPWIRE:.so=.o) %/main.o,\
                     $(call objects,tests/support/*.c tests/simulate/*.c))
CHAOS             := $(BUILD)/tests/chaos/chaos
SIMULATE          := $(BUILD)/tests/simulate/simulate

.PHONY: all
all: $(PROGRAMS) ## build the three programs (the default)
	@:

$(BUILD)/%.o: %.c Makefile
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/canaryd: $(SUPER) $(JUDGE) $(PROTO) $(COMMON)
$(BUILD)/canary-worker: $(WORKER) $(PROTO) $(COMMON)
$(BUILD)/canaryctl: $(CTL) $(JUDGE) $(PROTO) $(filter-out %/cage.o,$(COMMON))
$(PROGRAMS):
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(BUILD)/tests/all.a: $(ALL_OBJECTS)
	$(call say,AR,$@)
	@mkdir -p $(@D)
	$(Q)rm -f $@ && ar rcs $@ $^

$(BUILD)/tests/support.a: $(TEST_SUPPORT)
	$(call say,AR,$@)
	@mkdir -p $(@D)
	$(Q)rm -f $@ && ar rcs $@ $^

$(BUILD)/tests/%: $(BUILD)/tests/%.o $(BUILD)/tests/support.a $(BUILD)/tests/all.a
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS) -lcmocka

$(FAILING_MALLOC) $(SLOW_DISK) $(FOR_VALGRIND): $(BUILD)/tests/support/%.so: tests/support/preload/%.c \
    tests/support/preload/heap_page.h
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) -std=c17 -D_GNU_SOURCE -I. $(OPT) $(WARN) -fPIC -shared -o $@ $<

$(CHAOS): $(call objects,tests/chaos/*.c) $(BUILD)/tests/support.a $(BUILD)/tests/all.a
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS) -lcmocka

$(SIMULATE): $(BUILD)/tests/simulate/main.o $(BUILD)/tests/support.a $(BUILD)/tests/all.a
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS) -lcmocka

$(TRIPWIRE): tests/support/tripwire.c tests/support/tripwire.h Makefile
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(filter-out -fPIE,$(CFLAGS)) -fPIC -shared -o $@ $<

# --- Using it -----------------------------------------------------------------

.PHONY: deps run demo
deps:
	@etc/install-deps.sh build $(if $(filter 1,$(PYTHON)),python)

# Libraries may only have come by `deps`, so the build is a make of its own.
run: deps ## install what is missing, build, serve on http://localhost:$(PORT)
	@$(MAKE) --no-print-directory all
	@exec $(BUILD)/canaryd --listen=127.0.0.1:$(PORT) $(if $(filter 1,$(PYTHON)),,--python=) $(ARGS)

demo: deps ## install, build, and play the whole workflow against a server of its own
	@$(MAKE) --no-print-directory all
	@etc/demo.sh $(BUILD) $(if $(filter 1,$(PYTHON)),,--model models/model_v2.json) $(ARGS)

# --- Testing it ---------------------------------------------------------------

.PHONY: test check unit integration chaos fuzz overload simulate lint format coverage
test: ## install, build, and run every test
	@etc/install-deps.sh build test $(if $(filter 1,$(PYTHON)),python)
	@$(MAKE) --no-print-directory check

check: $(PROGRAMS) $(EVIL_WORKER) $(TRIPWIRE) $(FAILING_MALLOC) $(SLOW_DISK) $(CHAOS) $(UNIT_TESTS) $(INTEGRATION_TESTS)
	@CANARYD_BUILD=$(BUILD) tests/run.sh $(UNIT_TESTS) $(INTEGRATION_TESTS)

unit: $(PROGRAMS) $(EVIL_WORKER) $(UNIT_TESTS) ## run the unit tests alone
	@CANARYD_BUILD=$(BUILD) tests/run.sh $(UNIT_TESTS)

integration: $(PROGRAMS) $(EVIL_WORKER) $(TRIPWIRE) $(FAILING_MALLOC) $(SLOW_DISK) $(CHAOS) $(INTEGRATION_TESTS) ## run the integration tests alone
	@CANARYD_BUILD=$(BUILD) tests/run.sh $(INTEGRATION_TESTS)

S ?= 60
chaos: $(PROGRAMS) $(EVIL_WORKER) $(CHAOS) ## faults under load for S=60 seconds; SEED=n repeats, ARGS=--crash kills canaryd
	@CANARYD_BUILD=$(BUILD) $(CHAOS) --seconds $(S) $(if $(SEED),--seed $(SEED)) $(ARGS)

# libFuzzer is clang's. A build of its own: every object is instrumented.
FUZZERS := $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
ifeq ($(origin S),file)
fuzz: S := 20
endif
fuzz: ## each fuzzer for S=20 seconds, from tests/fuzz/corpus; FUZZERS=fuzz_json for one
	@$(MAKE) --no-print-directory CC=clang BUILD=build/fuzz SAN=fuzzer-no-link,address,undefined OPT='-O1 -g' WERROR=0 \
	    $(addprefix build/fuzz/tests/fuzz/,$(FUZZERS))
	@tests/fuzz/run.sh build/fuzz $(S) $(FUZZERS)

$(BUILD)/tests/fuzz/fuzz_%: $(BUILD)/tests/fuzz/fuzz_%.o $(BUILD)/tests/fuzz/fuzz.o $(BUILD)/tests/all.a
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(LDLIBS)

SOURCES := $(wildcard common/*.c proto/*.c judge/*.c supervisor/*.c worker/*.c ctl/*.c)
TESTS_C := $(wildcard tests/*/*.c tests/support/preload/*.c)
HEADERS := $(wildcard common/*.h proto/*.h judge/*.h supervisor/*.h worker/*.h ctl/*.h tests/*/*.h)
TIDY    := $(addprefix $(BUILD)/tidy/,$(addsuffix .ok,$(SOURCES)))

overload: $(PROGRAMS) $(BUILD)/tests/bench/openloop ## goodput when twice the peak is offered
	@tests/bench/overload.sh $(BUILD) $(ARGS)

json-cost: $(BUILD)/tests/bench/json_cost ## what the strict scan of JSON costs
	@$<

RUNS ?= 1000
simulate: $(SIMULATE) ## false alarms and time to detect: RUNS=1000 SEED=1, ARGS='--only detection'
	@$(SIMULATE) --runs $(RUNS) $(if $(SEED),--seed $(SEED)) --json $(BUILD)/simulate.json \
	    --markdown $(BUILD)/simulate.md $(ARGS)
	@if command -v python3 >/dev/null; then \
	    python3 tests/simulate/plot.py $(BUILD)/simulate.json $(BUILD)/simulate.svg; fi
	@echo "  also as $(BUILD)/simulate.md, .json and .svg"

BENCH_TOOLS := $(addprefix $(BUILD)/tests/bench/,bare_evhttp raw_epoll model_server json_cost slow_worker samples_cost)
$(BENCH_TOOLS): $(BUILD)/tests/bench/%: $(BUILD)/tests/bench/%.o $(BUILD)/tests/all.a
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)

.PHONY: bench bench-deps growth json-cost instructions
bench: $(PROGRAMS) $(BENCH_TOOLS) ## canaryd beside what one would use instead; ARGS=--help tells more
	@tests/bench/bench.py $(BUILD) $(ARGS)

instructions: $(PROGRAMS) $(FOR_VALGRIND) ## instructions per request beside the committed ones; UPDATE=1, ARGS=--rooms
	@tests/bench/instructions.py $(BUILD) $(if $(UPDATE),--update) $(ARGS)

growth: $(PROGRAMS) $(BENCH_TOOLS) ## how cost grows with features, connections, models, samples; where a loop ends
	@tests/bench/growth.py $(BUILD) $(ARGS)

fairness: $(PROGRAMS) ## what two workers of one model differ by, and whether such a canary stays
	@tests/bench/fairness.py $(BUILD) $(ARGS)

bench-deps: ## install wrk and the servers that `make bench` compares with
	@etc/install-deps.sh build python bench
	@mkdir -p $(BUILD)/bench
	@if command -v npm >/dev/null; then cd $(BUILD)/bench && \
	    npm install --silent --ignore-scripts --no-audit --no-fund --prefix . fastify onnxruntime-node; \
	else echo "  without Fastify: npm is not installed"; fi

lint: ## format, direction of includes, cppcheck, clang-tidy
	@etc/install-deps.sh build test lint
	@$(MAKE) --no-print-directory lint-all

.PHONY: lint-all lint-format lint-includes lint-faults lint-cppcheck
lint-all: lint-format lint-includes lint-faults lint-cppcheck $(TIDY)
	@echo "lint: clean"

lint-format:
	$(call say,FMT,all sources)
	$(Q)clang-format --dry-run -Werror $(SOURCES) $(TESTS_C) $(HEADERS)

lint-includes:
	$(call say,INC,direction of includes)
	$(Q)tests/lint-includes.sh

lint-faults:
	$(call say,DOC,tests that the docs name)
	$(Q)tests/lint-faults.sh

lint-cppcheck:
	$(call say,CPP,cppcheck)
	@mkdir -p $(BUILD)/cppcheck
	$(Q)cppcheck --quiet --error-exitcode=1 --inline-suppr --std=c11 --language=c -j2 \
	    --enable=warning,performance,portability --cppcheck-build-dir=$(BUILD)/cppcheck \
	    -I. -D_GNU_SOURCE -DCANARYD_VERSION='""' --include=tests/lint-macros.h $(SOURCES)

$(BUILD)/tidy/%.ok: % .clang-tidy $(HEADERS)
	$(call say,TIDY,$<)
	@mkdir -p $(@D)
	$(Q)clang-tidy --quiet $< -- $(CPPFLAGS) -std=c17 2>$@.log >$@.out || { cat $@.out $@.log; exit 1; }
	@touch $@

format: ## lay the sources out
	clang-format -i $(SOURCES) $(TESTS_C) $(HEADERS)

coverage: ## line coverage of the tests, by gcov
	@$(MAKE) --no-print-directory BUILD=build/coverage OPT='-O0 -g --coverage -DCANARYD_COVERAGE' LDFLAGS=--coverage test
	@tests/coverage.sh build/coverage

# --- Installing it ------------------------------------------------------------

# The service's places, as etc/canaryd.service and its socket have them.
STATE_DIR := /var/lib/canaryd
MODEL_DIR := $(PREFIX)/share/canaryd/models
INSTALLED := $(addprefix bin/,canaryd canary-worker canary-worker-python canaryctl) share/man/man1/canaryctl.1 \
    share/man/man8/canaryd.8 $(addprefix lib/systemd/system/,canaryd.service canaryd-bind.service canaryd.socket \
    canaryd-admin.socket) \
    lib/sysusers.d/canaryd.conf \
    $(addprefix share/canaryd/,export.py train.py FORMAT.md $(notdir $(wildcard worker/python/*.py)))
SERVICE_SETTINGS := sed 's|"model_dir": "models"|"model_dir": "$(MODEL_DIR)"|; \
    s|"state_dir": ""|"state_dir": "$(STATE_DIR)"|; s|"runtime_dir": ""|"runtime_dir": "/run/canaryd"|'

.PHONY: install uninstall clean help
install: all ## copy programs, man pages, units, models and settings to $(DESTDIR)$(PREFIX)
	$(Q)install -d $(addprefix $(DESTDIR)$(PREFIX)/,bin share/canaryd share/man/man1 share/man/man8 \
	    lib/systemd/system lib/sysusers.d) $(DESTDIR)/etc/canaryd $(DESTDIR)$(MODEL_DIR)
	$(Q)install -m 755 $(PROGRAMS) $(DESTDIR)$(PREFIX)/bin
	$(Q)ln -sf ../share/canaryd/canary_worker.py $(DESTDIR)$(PREFIX)/bin/canary-worker-python
	$(Q)install -m 755 models/export.py models/train.py $(DESTDIR)$(PREFIX)/share/canaryd
	$(Q)install -m 755 worker/python/canary_worker.py $(DESTDIR)$(PREFIX)/share/canaryd
	$(Q)install -m 644 models/FORMAT.md $(filter-out %_worker.py,$(wildcard worker/python/*.py)) \
	    $(DESTDIR)$(PREFIX)/share/canaryd
	$(Q)install -m 644 docs/man/canaryctl.1 $(DESTDIR)$(PREFIX)/share/man/man1
	$(Q)install -m 644 docs/man/canaryd.8 $(DESTDIR)$(PREFIX)/share/man/man8
	$(Q)for unit in canaryd.service canaryd.socket canaryd-admin.socket; do \
	    sed 's|@PREFIX@|$(PREFIX)|' etc/$$unit | \
	    install -m 644 /dev/stdin $(DESTDIR)$(PREFIX)/lib/systemd/system/$$unit; done
	$(Q)sed -f etc/own-bind.sed $(DESTDIR)$(PREFIX)/lib/systemd/system/canaryd.service | \
	    install -m 644 /dev/stdin $(DESTDIR)$(PREFIX)/lib/systemd/system/canaryd-bind.service
	$(Q)install -m 644 etc/canaryd.sysusers $(DESTDIR)$(PREFIX)/lib/sysusers.d/canaryd.conf
	$(Q)for model in model_v1.json model_v2.json model_v2.joblib; do \
	    test -e $(DESTDIR)$(MODEL_DIR)/$$model || \
	    install -m 644 models/$$model $(DESTDIR)$(MODEL_DIR); done
	$(Q)test -e $(DESTDIR)/etc/canaryd/canaryd.json || \
	    $(SERVICE_SETTINGS) etc/canaryd.json | \
	    install -m 644 /dev/stdin $(DESTDIR)/etc/canaryd/canaryd.json
	$(Q)if test -z "$(DESTDIR)" && command -v systemd-sysusers >/dev/null; then \
	    systemd-sysusers $(PREFIX)/lib/sysusers.d/canaryd.conf; fi

uninstall: ## remove what install put there, except settings, models and state
	$(Q)rm -f $(addprefix $(DESTDIR)$(PREFIX)/,$(INSTALLED))
	@echo "  left: $(DESTDIR)/etc/canaryd, $(DESTDIR)$(MODEL_DIR), $(DESTDIR)$(STATE_DIR) and the user canaryd"

clean: ## remove what was built
	rm -rf build

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/\1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 14 | \
	    sed 's/$$(PORT)/$(PORT)/; s|$$(DESTDIR)$$(PREFIX)|$(PREFIX)|'
	@echo "settings:     BUILD=dir SAN=address,undefined WERROR=0 PYTHON=0 PORT=8000 ARGS='--canary-percent=5' V=1"

.SECONDARY:
-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
