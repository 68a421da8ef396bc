# Firekeep. `make` builds build/firekeep; `make check` runs the unit tests and fuzz corpora.
# Variants live in directories of their own: make VARIANT=asan check, or the targets below.

SHELL := /bin/bash
.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
# Objects that only a chain of pattern rules names are kept, too.
.SECONDARY:
MAKEFLAGS += --no-builtin-rules

CC ?= gcc
CXX ?= g++
ifeq ($(origin CC),default)
CC := gcc
endif
ifeq ($(origin CXX),default)
CXX := g++
endif
CLANG ?= 14
VARIANT ?= release
BUILD ?= build/$(VARIANT)
PREFIX ?= /usr/local
DESTDIR ?=
VERSION := $(shell sed -n 's/^\#define FIREKEEP_VERSION "\(.*\)"/\1/p' src/base/version.h)

PACKAGES := gnutls re2 snappy libzstd zlib libxxhash roaring jansson yaml-0.1 expat sqlite3 libisal libcares curl-gnutls libcrypt libseccomp
# Packages without a pkg-config file are named directly.
PKG_NAMES := $(shell for p in gnutls re2 libzstd zlib jansson yaml-0.1 expat sqlite3 libisal libcares libseccomp; do pkg-config --exists $$p && echo $$p; done)
CPPFLAGS := -Isrc -Itests -D_GNU_SOURCE $(shell pkg-config --cflags $(PKG_NAMES))
LDLIBS := $(shell pkg-config --libs $(PKG_NAMES)) -lsnappy -lroaring -lcurl-gnutls -lcrypt -lstdc++ -lm -lpthread

WARNINGS := -Wall -Wextra -Werror -Wshadow -Wpointer-arith -Wstrict-prototypes -Wmissing-prototypes \
	-Wwrite-strings -Wundef -Wvla -Wformat=2 -Wcast-qual -Wno-missing-field-initializers
CXXWARNINGS := -Wall -Wextra -Werror -Wshadow -Wpointer-arith -Wundef -Wvla -Wformat=2
# clang has no -fstack-clash-protection for ARM64.
HARDEN := -fPIE -fstack-protector-strong \
	$(shell $(CC) -Werror -fstack-clash-protection -fsyntax-only -x c /dev/null 2>/dev/null && echo -fstack-clash-protection)
OPTIMIZE := -O2 -g -D_FORTIFY_SOURCE=2 -fno-math-errno -ffp-contract=off
LDHARDEN := -pie -Wl,-z,relro,-z,now,-z,noexecstack,--as-needed
SANITIZE :=
ifeq ($(VARIANT),release)
JEMALLOC := $(shell pkg-config --exists jemalloc && echo yes)
ifeq ($(JEMALLOC),yes)
CPPFLAGS += -DHAVE_JEMALLOC
# Nothing in the program calls it by a name that is only its own, so it must not be left out.
APPLIBS := -Wl,--no-as-needed -ljemalloc -Wl,--as-needed
endif
endif
ifeq ($(VARIANT),debug)
OPTIMIZE := -O1 -g -ffp-contract=off
CPPFLAGS += -DLOCK_CHECK
endif
ifeq ($(VARIANT),asan)
OPTIMIZE := -O1 -g -fno-omit-frame-pointer -ffp-contract=off
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all
CPPFLAGS += -DLOCK_CHECK
endif
ifeq ($(VARIANT),tsan)
OPTIMIZE := -O1 -g -fno-omit-frame-pointer -ffp-contract=off
SANITIZE := -fsanitize=thread
CPPFLAGS += -DLOCK_CHECK
endif
# Under a sanitizer gcc loses track of lengths and warns of cuts that are meant.
ifneq ($(filter asan tsan,$(VARIANT)),)
ifeq ($(findstring clang,$(CC)),)
WARNINGS += -Wno-format-truncation
endif
endif
ifeq ($(VARIANT),fuzz)
CC := clang-$(CLANG)
CXX := clang++-$(CLANG)
OPTIMIZE := -O1 -g -fno-omit-frame-pointer -ffp-contract=off
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all -fsanitize=fuzzer-no-link \
	-fsanitize-coverage-ignorelist=tests/fuzz.ignore
CPPFLAGS += -DLOCK_CHECK
endif

# What is released is compiled folder by folder, each as one unit: less work for the compiler, which sees
# more at once. UNITY= compiles file by file.
ifeq ($(VARIANT),release)
UNITY ?= 1
endif

# Where a tree stands does not change what is compiled in it, so it is not one of FLAGS.
HERE := '-ffile-prefix-map=$(CURDIR)=.'
CFLAGS := -std=gnu17 $(OPTIMIZE) $(WARNINGS) $(HARDEN) $(SANITIZE)
CXXFLAGS := -std=c++17 $(OPTIMIZE) $(CXXWARNINGS) $(HARDEN) $(SANITIZE)
# gold, a part of binutils, links tests in a quarter of the time, if it leaves out what debuggers want:
# they have VARIANT=debug.
LDQUICK := $(if $(filter release,$(VARIANT)),-Xlinker -S) $(if $(shell command -v ld.gold),-fuse-ld=gold)
LDFLAGS := $(LDHARDEN) $(SANITIZE) $(LDQUICK)

# Tests call what is optimized and are themselves compiled without, and without what debuggers want, in a
# quarter of the time. gcc does not know then how great numbers can be, and warns of cuts that cannot be.
TEST_CFLAGS := $(subst $(OPTIMIZE),-O0 -ffp-contract=off $(if $(findstring clang,$(CC)),,-Wno-format-truncation),$(CFLAGS))

# What all is compiled with. A compiler or package that came or went compiles it anew.
FLAGS := $(BUILD)/flags
FLAGS_NOW := $(strip $(UNITY) $(CC) $(CXX) $(CPPFLAGS) $(CFLAGS) $(TEST_CFLAGS) $(CXXFLAGS))
ifneq ($(FLAGS_NOW),$(strip $(file <$(FLAGS))))
$(shell mkdir -p $(BUILD))
$(file >$(FLAGS),$(FLAGS_NOW))
endif

# tests/sys has the simulated machine, tests/lib what tests share, tests/sim whole servers and simulations:
# TEST_LIB holds them, which tests, fuzzers and measuring programs are linked with.
TEST_FOLDERS := tests/sys tests/lib tests/sim
SOURCES := $(sort $(shell find src $(TEST_FOLDERS) -name "*.c"))
CXXSOURCES := $(sort $(shell find src -name "*.cc"))
TEST_SOURCES := $(filter %_test.c,$(SOURCES))
FUZZ_SOURCES := $(filter %_fuzz.c,$(SOURCES))
MAIN_SOURCES := src/app/main.c
LIB_SOURCES := $(filter-out $(TEST_SOURCES) $(FUZZ_SOURCES) $(MAIN_SOURCES),$(filter src/%,$(SOURCES)))
TEST_LIB_SOURCES := $(filter-out $(TEST_SOURCES),$(filter tests/%,$(SOURCES)))

# The web page: the files of web/dist, as web/build.mjs made them.
WEB := $(BUILD)/web
LIB := $(BUILD)/libfirekeep.a
TEST_LIB_OBJECTS := $(TEST_LIB_SOURCES:%.c=$(BUILD)/%.o)
# Stands in for a part of net/, and is therefore linked to tests of api/ only, before the library.
HTTP_DOUBLE := $(BUILD)/tests/lib/api/http_double.o
TEST_LIB := $(BUILD)/libtests.a
TESTS := $(patsubst tests/%.c,$(BUILD)/test/%,$(TEST_SOURCES:src/%.c=$(BUILD)/test/%))
FUZZERS := $(FUZZ_SOURCES:src/%.c=$(BUILD)/fuzz/%)
REPLAYERS := $(FUZZ_SOURCES:src/%.c=$(BUILD)/replay/%)
PROMQLRUN := $(BUILD)/tools/promqlrun
TOOL_SOURCES := tests/tools/oracle.c tests/tools/oracle_wire.c tests/tools/post.c tests/tools/oracle_stream.c
TOOL_OBJECTS := $(TOOL_SOURCES:%.c=$(BUILD)/%.o)
TOOLS := $(addprefix $(BUILD)/tools/,configuration rrcompare rwreplay rwmake rwflood rwspan storedump get metrics notifyrun templaterun)
PROTO_OBJECTS := $(patsubst tests/proto/%.proto,$(BUILD)/proto/%.pb-c.o,$(wildcard tests/proto/*.proto))

# Hot loops. With -O3 encoding and decoding of samples is a tenth faster.
HOT_SOURCES := $(addprefix src/tsdb/codec/,float.c int.c codec.c) \
	$(addprefix src/promql/eval/,select/window_floats.c select/range.c select/range_buffer.c aggregate/aggregate.c)
ifneq ($(filter-out $(SOURCES),$(HOT_SOURCES)),)
$(error HOT_SOURCES names files that do not exist: $(filter-out $(SOURCES),$(HOT_SOURCES)))
endif
ifeq ($(VARIANT),release)
$(HOT_SOURCES:%.c=$(BUILD)/%.o): CFLAGS += -O3
endif

# A unit is a file that includes all files of a folder but those of hot loops. It is written anew when one
# comes or goes. JOINED are folders that are in the unit of their outer one: ingestion calls functions of the
# head for each sample.
JOINED := src/tsdb/head/ingest
UNIT_SOURCES := $(filter-out $(HOT_SOURCES),$(LIB_SOURCES))
UNIT_FOLDERS := $(filter-out $(JOINED),$(patsubst %/,%,$(sort $(dir $(UNIT_SOURCES)))))
UNITS := $(UNIT_FOLDERS:%=$(BUILD)/unit/%.c)
$(UNITS): $(BUILD)/unit/%.c: FORCE
	@mkdir -p $(@D)
	@printf '#include "%s"\n' $(patsubst src/%,%,$(filter $(wildcard $*/*.c $(addsuffix /*.c,$(filter $*/%,$(JOINED)))),$(UNIT_SOURCES))) >$@.new; \
		if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi

ifeq ($(UNITY),)
LIB_OBJECTS := $(LIB_SOURCES:%.c=$(BUILD)/%.o)
else
LIB_OBJECTS := $(UNITS:.c=.o) $(HOT_SOURCES:%.c=$(BUILD)/%.o)
endif
LIB_OBJECTS += $(CXXSOURCES:%.cc=$(BUILD)/%.o) $(WEB)/assets.o

# The program of the release variant has the plain name that everything refers to.
ifeq ($(BUILD),build/release)
PROGRAM := build/firekeep
else
PROGRAM := $(BUILD)/firekeep
endif
.PHONY: all program
all program: $(PROGRAM)

$(PROGRAM): $(MAIN_SOURCES:%.c=$(BUILD)/%.o) $(LIB)
	@mkdir -p $(@D)
	@echo '  LD      $@'; $(CC) $(filter-out $(LDQUICK),$(LDFLAGS)) $(HERE) -o $@ $^ $(LDLIBS) $(APPLIBS)

$(LIB): $(LIB_OBJECTS)
	@mkdir -p $(@D)
	@rm -f $@
	@$(AR) rcs $@ $^

# A compiler that is newer than those of ./check may warn of more, which must not stop a build: what does
# not compile without warnings is compiled again, and shows them. OBJECT.warned remembers it for ./check, which
# fails after the tests. WERROR=1 ends there, also for what was compiled so before.
output = -MMD -MP -c -o $@ $<
compile = $(1) $(output) $(if $(WERROR),,2>$@.warned) && rm -f $@.warned \
	$(if $(WERROR),,|| $(filter-out -Werror,$(1)) $(output))
ifneq ($(WERROR),)
$(patsubst %.warned,%,$(shell find $(BUILD) -name '*.o.warned' 2>/dev/null)): FORCE
endif
.PHONY: FORCE
FORCE:

$(BUILD)/%.o: %.c $(FLAGS)
	@mkdir -p $(@D)
	@echo '  CC      $<'; $(call compile,$(CC) $(CPPFLAGS) $(CFLAGS) $(HERE))

# A local may have the name of a static of another file.
$(BUILD)/unit/%.o: $(BUILD)/unit/%.c $(FLAGS)
	@echo '  CC      $*'; $(call compile,$(CC) $(CPPFLAGS) $(CFLAGS) -Wno-shadow $(HERE))

$(BUILD)/%.o: %.cc $(FLAGS)
	@mkdir -p $(@D)
	@echo '  CXX     $<'; $(call compile,$(CXX) $(CPPFLAGS) $(CXXFLAGS) $(HERE))

$(WEB)/assets.S: web/embed.sh $(shell find web/dist -type f 2>/dev/null)
	@echo '  EMBED   web/dist'; web/embed.sh web/dist $(WEB)
$(WEB)/assets.o: $(WEB)/assets.S
	@$(CC) -c -o $@ $<

# Oracles: protobuf-c readers of the public message definitions, for tests only.
$(BUILD)/proto/%.pb-c.c: tests/proto/%.proto
	@mkdir -p $(@D)
	@protoc-c --proto_path=tests/proto --c_out=$(@D) $<

$(BUILD)/proto/%.pb-c.o: $(BUILD)/proto/%.pb-c.c
	@$(CC) -I$(@D) $(OPTIMIZE) $(SANITIZE) -fPIE -c -o $@ $<

ifeq ($(VARIANT),release)
$(TEST_SOURCES:%.c=$(BUILD)/%.o) $(FUZZ_SOURCES:%.c=$(BUILD)/%.o): CFLAGS = $(TEST_CFLAGS)
endif
$(TEST_SOURCES:%.c=$(BUILD)/%.o) $(TEST_LIB_OBJECTS): CPPFLAGS += -I$(BUILD)/proto
$(TEST_SOURCES:%.c=$(BUILD)/%.o) $(TEST_LIB_OBJECTS): $(PROTO_OBJECTS)

$(TEST_LIB): $(filter-out $(HTTP_DOUBLE),$(TEST_LIB_OBJECTS)) $(PROTO_OBJECTS)
	@mkdir -p $(@D)
	@rm -f $@
	@$(AR) rcs $@ $^

TEST_LDLIBS := $(TEST_LIB) $(LIB) $(LDLIBS) -lcmocka -lprotobuf-c

# These define functions of the library, also of the folder of the file that they test, which is then linked
# as it is.
$(filter $(BUILD)/test/api/%,$(TESTS)): $(HTTP_DOUBLE)
$(BUILD)/test/app/keeper_test: $(BUILD)/src/app/keeper.o
$(BUILD)/test/app/destinations/destination_answers_test: $(BUILD)/src/app/destinations/destination_answers.o
$(filter $(BUILD)/test/api/% $(BUILD)/test/app/% $(BUILD)/test/base/lock_check_test,$(TESTS)): LDFLAGS += -Wl,-z,muldefs
$(BUILD)/test/%: $(BUILD)/src/%.o $(TEST_LIB) $(LIB)
	@mkdir -p $(@D)
	@echo '  LD      $@'; $(CC) $(LDFLAGS) -o $@ $(filter %.o,$^) $(TEST_LDLIBS)

$(patsubst tests/%.c,$(BUILD)/test/%,$(filter tests/%,$(TEST_SOURCES))): $(BUILD)/test/%: $(BUILD)/tests/%.o $(TEST_LIB) $(LIB)
	@mkdir -p $(@D)
	@echo '  LD      $@'; $(CC) $(LDFLAGS) -o $@ $< $(TEST_LDLIBS)

# What the whole-process tests use: compare by remote read, replay captures.
TOOL_ALL_OBJECTS := $(TOOL_OBJECTS) $(BUILD)/tests/tools/plain_http.o $(TOOLS:$(BUILD)/tools/%=$(BUILD)/tests/tools/%.o)
$(TOOL_ALL_OBJECTS): CPPFLAGS += -Itests/tools -I$(BUILD)/proto
$(TOOL_ALL_OBJECTS): $(BUILD)/proto/cmp.pb-c.o

TOOL_LIB := $(BUILD)/tests/tools/libtools.a
$(TOOL_LIB): $(TOOL_OBJECTS)
	@rm -f $@
	@$(AR) rcs $@ $^

$(BUILD)/tools/%: $(BUILD)/tests/tools/%.o $(TOOL_LIB) $(BUILD)/proto/cmp.pb-c.o $(LIB)
	@mkdir -p $(@D)
	@echo '  LD      $@'; $(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS) -lprotobuf-c

# Started thousands of times: nothing but libc, and in one piece, which halves the time of a start.
# Sanitizers cannot be part of it.
$(BUILD)/tools/get $(BUILD)/tools/metrics: $(BUILD)/tools/%: $(BUILD)/tests/tools/%.o $(BUILD)/tests/tools/plain_http.o
	@mkdir -p $(@D)
	@echo '  LD      $@'; $(CC) $(if $(SANITIZE),$(LDFLAGS),$(filter-out -pie,$(LDFLAGS)) -static) -o $@ $^

# The load of the measurements, written down for tests.
$(BUILD)/tools/rwspan: $(BUILD)/tests/tools/rwspan.o $(BUILD)/bench/lib/fleet.o $(BUILD)/bench/lib/share.o $(BUILD)/bench/lib/tool.o $(LIB)
	@mkdir -p $(@D)
	@echo '  LD      $@'; $(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(BUILD)/replay/%: $(BUILD)/src/%.o $(BUILD)/tests/replay_main.o $(TEST_LIB) $(LIB)
	@mkdir -p $(@D)
	@echo '  LD      $@'; $(CC) $(LDFLAGS) -o $@ $(filter %.o,$^) $(TEST_LDLIBS)

$(BUILD)/fuzz/%: $(BUILD)/src/%.o $(TEST_LIB) $(LIB)
	@mkdir -p $(@D)
	@echo '  LD      $@'; $(CC) $(LDFLAGS) -fsanitize=fuzzer -o $@ $< $(TEST_LDLIBS)

.PHONY: tests
tests: $(TESTS) $(REPLAYERS) $(PROMQLRUN)

.PHONY: fuzzers
fuzzers: $(FUZZERS)

# Measuring programs, called by bench/run or by hand; nothing is checked.
BENCHES := $(patsubst bench/%.c,$(BUILD)/bench/%,$(wildcard bench/*.c))
BENCH_LIB := $(patsubst %.c,$(BUILD)/%.o,$(wildcard bench/lib/*.c))
$(BENCHES:=.o) $(BENCH_LIB) $(BUILD)/tests/tools/rwspan.o: CPPFLAGS += -Ibench
.PHONY: bench-tools
bench-tools: $(BENCHES)

$(BUILD)/bench/%: $(BUILD)/bench/%.o $(BENCH_LIB) $(TEST_LIB) $(LIB)
	@mkdir -p $(@D)
	@echo '  LD      $@'; $(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# Scripts of PromQL run over the simulated machine, as tests do, and with the unit tests.
$(PROMQLRUN): $(BUILD)/tests/tools/promqlrun.o $(TEST_LIB) $(LIB)
	@mkdir -p $(@D)
	@echo '  LD      $@'; $(CC) $(LDFLAGS) -o $@ $< $(TEST_LDLIBS)

.PHONY: test-tools
test-tools: $(TOOLS) $(PROMQLRUN)

# Warnings of clang, for ./check: all sources are read and none is compiled. clang starts itself for each of
# them, which takes as long as reading one: $(BUILD)/cc1 is the command that it starts, for many sources.
CHECKED := $(BUILD)/checked
CHECKED_SOURCES := $(SOURCES) $(wildcard tests/*.c tests/tools/*.c)
$(BUILD)/cc1: $(FLAGS)
	@{ echo '#!/bin/sh'; $(CC) $(CPPFLAGS) -Itests/tools -Ibench -I$(BUILD)/proto $(CFLAGS) -fsyntax-only '-###' -x c /dev/null 2>&1 | \
		sed -n '/"-cc1"/s|"/dev/null"$$|"$$@"|p'; } >$@; chmod +x $@

$(CHECKED): $(BUILD)/cc1 $(PROTO_OBJECTS:.o=.c) $(shell find src tests bench -name '*.h') $(CHECKED_SOURCES) $(CXXSOURCES)
	@printf '%s\n' $(if $(filter-out $(CHECKED_SOURCES),$?),$(CHECKED_SOURCES),$?) | xargs -n 32 -P "$$(nproc)" $<
	@$(CXX) $(CPPFLAGS) $(CXXFLAGS) -fsyntax-only $(CXXSOURCES) && touch $@

.PHONY: syntax
syntax: $(CHECKED)

# Unit tests and fuzz corpora; ./check installs what is needed and runs everything.
.PHONY: check check-asan check-tsan check-long
check: tests
	@BUILD=$(BUILD) tests/run.sh source unit corpora

check-asan:
	@$(MAKE) --no-print-directory VARIANT=asan check

check-tsan:
	@$(MAKE) --no-print-directory VARIANT=tsan check

check-long: program tests test-tools
	@BUILD=$(BUILD) LONG=1 tests/run.sh source unit corpora crash e2e

# All texts of the sources that users see, in the list that reviewers read.
.PHONY: messages
messages:
	@tests/messages.py --write tests/golden/messages.txt

# The table of routes in the document about security.
.PHONY: routes
routes:
	@tests/routes.py --write docs/security.md

# The reference of all settings and keys in the document about configuration.
.PHONY: configuration
configuration: $(BUILD)/tools/configuration
	@$< docs/configuration.md >$(BUILD)/configuration.md && cp $(BUILD)/configuration.md docs/configuration.md

# The pictures of docs/images, which somebody looks at afterwards.
.PHONY: images
images: program test-tools
	@tests/images.sh

# Changes one statement after the other: some unit test has to notice. Takes hours; ONLY="PATTERN"
# chooses files, SAMPLE=N and SEED=S draw N statements from all rooms, JOBS=N are tried at a time.
.PHONY: mutation
mutation:
	@nice tests/tools/mutate.py $(ONLY:%=--only %) $(SAMPLE:%=--sample %) $(SEED:%=--seed %) $(JOBS:%=--jobs %)

# FUZZ_SECONDS for each fuzzer, 600 if not said otherwise.
.PHONY: fuzz
fuzz:
	@$(MAKE) --no-print-directory VARIANT=fuzz fuzzers
	@tests/fuzz.sh

# Firekeep beside other servers; BENCH="NAME..." chooses scenarios.
.PHONY: bench
bench: program bench-tools test-tools
	@BUILD=$(BUILD) bench/run $(BENCH)

.PHONY: install
install: program
	install -D -m 755 $(PROGRAM) $(DESTDIR)$(PREFIX)/bin/firekeep
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system $(DESTDIR)$(PREFIX)/share/doc/firekeep
	sed 's|/usr/local/|$(PREFIX)/|g' packaging/firekeep.service \
		> $(DESTDIR)$(PREFIX)/lib/systemd/system/firekeep.service
	chmod 644 $(DESTDIR)$(PREFIX)/lib/systemd/system/firekeep.service
	install -D -m 644 docs/firekeep.rules.yml $(DESTDIR)$(PREFIX)/share/firekeep/firekeep.rules.yml
	sed 's|\.\./docs/||; s|\.\./docs$$|$(PREFIX)/share/doc/firekeep/docs|' packaging/firekeep.yml > $(DESTDIR)$(PREFIX)/share/firekeep/firekeep.yml
	chmod 644 $(DESTDIR)$(PREFIX)/share/firekeep/firekeep.yml
	cp -R --no-preserve=mode,ownership $(wildcard README.md CHANGELOG.md SECURITY.md LICENSE docs) \
		$(DESTDIR)$(PREFIX)/share/doc/firekeep/
	install -D packaging/README.md $(DESTDIR)$(PREFIX)/share/doc/firekeep/packaging/README.md
	chmod -R u=rwX,go=rX $(DESTDIR)$(PREFIX)/share/doc/firekeep

.PHONY: clean
clean:
	rm -rf build

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
