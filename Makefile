# SPDX-License-Identifier: GPL-2.0-only
#
#   make                  the module for the running kernel, and the programs
#   make modules KDIR=D   the module for the kernel tree D
#   make install          all of it (PREFIX, DESTDIR)
#   make manifest         build/manifest: hashes of what gets installed
#   make sbom             build/tcpseal.spdx.json: sources, licences, libraries
#   make loc              how much there is to read
#   make demo             the demonstration, in virtual machines
#   make check            all tests, in virtual machines (T=NAME one test, K=KERNEL
#                         one kernel)
#   make check-debug      the tests again on a kernel that checks itself, built first
#   make coverage         which lines and branches the tests run (T=TEST)
#   make mutants          broken modules and daemons, which the tests have to notice
#   make bench            what it costs beside its peers, in virtual machines (BENCH=
#                         options of scripts/bench)
#   make lint             what the checkers say
#   make fuzz             what the programs read from others, fuzzed (T=TARGET,
#                         SECONDS=600)
#   make deb              build/deb/: packages for Debian 12 and 13, and what is wrong
#                         with them
#   make reproduce        built twice, in other places and times: the same?

KDIR    ?= /lib/modules/$(shell uname -r)/build
PREFIX  ?= /usr/local
DESTDIR ?=
SBINDIR ?= $(PREFIX)/sbin
LIBDIR  ?= $(PREFIX)/lib
MANDIR  ?= $(PREFIX)/share/man
UNITDIR ?= $(PREFIX)/lib/systemd/system
CONFDIR ?= /etc/tcpseal
INSTALL ?= install
# The kernel's own switch: without what only debuggers read
INSTALL_MOD_STRIP ?= 1

export PREFIX DESTDIR SBINDIR LIBDIR MANDIR UNITDIR CONFDIR

all: modules tools

# W=, C= and V= of the kernel's build work here, too. KCFLAGS, because ccflags-y does not
# reach what modpost writes: nothing depends on where it is built (scripts/reproduce).
modules:
ifneq ($(wildcard Kbuild),)
	$(MAKE) -C $(KDIR) M=$(CURDIR) \
		KCFLAGS="$(strip $(KCFLAGS) -ffile-prefix-map=$(CURDIR)=.)" modules
endif

tools:
ifneq ($(wildcard userspace/Makefile),)
	$(MAKE) -C userspace
endif
ifneq ($(wildcard selftests/Makefile),)
	$(MAKE) -C selftests
endif

# Of the tests only, never installed
test_modules:
	$(MAKE) -C $(KDIR) M=$(CURDIR)/selftests/test_modules modules
	$(MAKE) -C $(KDIR) M=$(CURDIR)/selftests/kunit modules

install: modules_install tools_install

modules_install: modules
	$(MAKE) -C $(KDIR) M=$(CURDIR) INSTALL_MOD_PATH=$(DESTDIR) \
		INSTALL_MOD_DIR=updates INSTALL_MOD_STRIP=$(INSTALL_MOD_STRIP) modules_install
ifeq ($(DESTDIR),)
	depmod -a $(notdir $(patsubst %/build,%,$(KDIR)))
endif

tools_install: tools
	$(MAKE) -C userspace install
	$(foreach section,1 3 5 7 8,$(foreach page,$(wildcard Documentation/man/*.$(section)), \
		$(INSTALL) -D -m 644 $(page) \
			$(DESTDIR)$(MANDIR)/man$(section)/$(notdir $(page));))
ifeq ($(DESTDIR),)
	-systemd-sysusers $(PREFIX)/lib/sysusers.d/tcpseal.conf
endif

clean:
ifneq ($(wildcard Kbuild),)
	-$(MAKE) -C $(KDIR) M=$(CURDIR) clean
endif
ifneq ($(wildcard userspace/Makefile),)
	$(MAKE) -C userspace clean
endif
ifneq ($(wildcard selftests/Makefile),)
	$(MAKE) -C selftests clean
endif
	-$(MAKE) -C $(KDIR) M=$(CURDIR)/selftests/test_modules clean
	-$(MAKE) -C $(KDIR) M=$(CURDIR)/selftests/kunit clean
	rm -rf build

# What an installed host can be compared with, by "tcpseal verify"
manifest:
	rm -rf build/stage
	$(MAKE) DESTDIR=$(CURDIR)/build/stage install >/dev/null
	scripts/manifest build/stage >build/manifest
	@sha256sum build/manifest

# What it is made of, in SPDX
sbom:
	@mkdir -p build
	git ls-files | scripts/sbom >build/tcpseal.spdx.json

loc:
	@scripts/loc

demo:
	scripts/demo

check:
	scripts/check $(if $(K),--kernel $(K)) $(T)

check-debug:
	scripts/check --kernel debug $(T)

coverage:
	scripts/coverage $(T)

mutants:
	scripts/mutants

bench:
	scripts/bench $(BENCH)

lint:
	scripts/lint

fuzz:
	scripts/fuzz --seconds $(SECONDS) $(T)

SECONDS ?= 600

deb:
	scripts/deb

reproduce:
	scripts/reproduce --all

.PHONY: all modules tools test_modules install modules_install tools_install clean manifest sbom loc demo check check-debug coverage mutants bench lint fuzz deb reproduce
