# The front door. CMake does the building (see CMakePresets.json); this names what people do.
#   make            release build in build/release          make demo     real data into a database, with progress
#   make test       everything that CI checks               make check    the quick part of it, for the edit cycle
#   make install    PREFIX=/usr/local DESTDIR=              make deps     what Debian lacks, by apt-get
#   make demo-s4    the same into a string store
#   make demo       DB=s3://bucket/prefix                   make test-store     SHALE_TEST_URL=s3://bucket/prefix: tries your bucket
#   make static     ARCH=x86_64|aarch64: program and library with all that they need inside
.PHONY: all static deps demo demo-s4 demo-sql test test-store check asan tsan clang coverage fuzz sim soak bench install format clean

PREFIX ?= /usr/local
DESTDIR ?=
JOBS ?= $(shell nproc)
HOURS ?= 1

# Quiet: warnings and errors are all that is shown.
all: build/release/build.ninja
	@echo "building build/release, some minutes the first time"
	@cmake --build build/release -j $(JOBS) -- --quiet

build/%/build.ninja:
	@cmake --preset $* --log-level=NOTICE

static:
	tools/build-static $(ARCH)

deps:
	tools/deps build test

demo:
	tools/deps build demo
	$(MAKE) all
	tools/demo $(if $(DB),"$(DB)")

demo-s4:
	tools/deps build demo
	$(MAKE) all
	tools/demo-s4 $(if $(DB),"$(DB)")

demo-sql:
	tools/deps build demo
	$(MAKE) all
	tools/demo-sql $(if $(DB),"$(DB)")

test:
	tools/deps build test
	tools/run-tests full

test-store: all
	cmake --preset release -B build/store -DSHALE_TESTS=ON
	cmake --build build/store -j $(JOBS) --target store_test_s3
	tools/test-store

check:
	tools/run-tests quick

asan tsan clang coverage:
	cmake --preset $@
	cmake --build build/$@ -j $(JOBS)
	ctest --test-dir build/$@ --output-on-failure

fuzz:
	cmake --preset fuzz
	cmake --build build/fuzz -j $(JOBS)
	tools/run-fuzz build/fuzz $(or $(SECONDS_EACH),600)

sim:
	cmake --preset sim
	cmake --build build/sim -j $(JOBS)
	tools/run-sim build/sim $(SEED)

soak: all
	tools/soak $(HOURS)

bench: all
	bench/start-time build/release/shale
	build/release/shale bench file:///tmp/shale-bench/db --workload fillseq,readhot,scan --num 1000000 --store-option local_fsync=off

install: all
	@DESTDIR=$(DESTDIR) cmake --install build/release --prefix $(PREFIX) >build/install.log
	@echo "installed in $(DESTDIR)$(PREFIX); what and where: build/install.log"

format:
	git ls-files '*.c' '*.h' | grep -v '^tests/fixtures/' | xargs clang-format-14 -i

clean:
	rm -rf build out
