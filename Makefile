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
PKGS    := libevent $(MSGPACK) libcjson libmd
# Libraries' headers come in as system headers: our warnings are for our code.
PKG_INC := $(subst -I,-isystem ,$(shell pkg-config --cflags-only-I $(PKGS) libRmath 2>/dev/null))

# -ffp-contract=off: predictions must equal scikit-learn's to the last bit on any target.
CPPFLAGS += -I. $(PKG_INC) -D_GNU_SOURCE -DCANARYD_VERSION='"$(VERSION)"' -DMATHLIB_STANDALONE
CFLAGS   += -std=c17 $(OPT) -ffp-contract=off $(WARN) $(HARDEN) $(SANFLAG)
LDFLAGS  += -pie -Wl,-z,relro,-z,now -Wl,--as-needed $(SANFLAG)
LDLIBS   += -levent_core -levent_extra $(shell pkg-config --libs $(MSGPACK) libcjson libmd 2>/dev/null) \
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
# A program that the unit tests start as a worker; the rest is linked into each of them.
EVIL_WORKER       := $(BUILD)/tests/support/evil_worker
TEST_SUPPORT      := $(filter-out $(EVIL_WORKER).o,$(call objects,tests/support/*.c))

.PHONY: all
all: $(PROGRAMS) ## build the three programs (the default)

$(BUILD)/%.o: %.c Makefile
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/canaryd: $(SUPER) $(JUDGE) $(PROTO) $(COMMON)
$(BUILD)/canary-worker: $(WORKER) $(PROTO) $(COMMON)
$(BUILD)/canaryctl: $(CTL) $(JUDGE) $(PROTO) $(COMMON)
$(PROGRAMS):
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(BUILD)/tests/all.a: $(ALL_OBJECTS)
	$(call say,AR,$@)
	@mkdir -p $(@D)
	$(Q)rm -f $@ && ar rcs $@ $^

$(BUILD)/tests/%: $(BUILD)/tests/%.o $(TEST_SUPPORT) $(BUILD)/tests/all.a
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $< $(TEST_SUPPORT) $(BUILD)/tests/all.a $(LDLIBS) -lcmocka

.PHONY: unit integration
unit: $(UNIT_TESTS) $(EVIL_WORKER) $(BUILD)/canary-worker ## run the unit tests alone
	@tests/run.sh $(UNIT_TESTS)

integration: $(PROGRAMS) $(INTEGRATION_TESTS) ## run the integration tests alone
	@CANARYD_BUILD=$(BUILD) tests/run.sh $(INTEGRATION_TESTS)

.SECONDARY:
-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
