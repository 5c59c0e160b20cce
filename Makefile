# The usual words for those who do not speak CMake; PREFIX and DESTDIR as usual.
PREFIX ?= /usr/local

all:
	cmake --preset release
	cmake --build --preset release

install: all
	DESTDIR="$(DESTDIR)" cmake --install build/release --prefix "$(PREFIX)"

test:
	./test

demo:
	./demo

.PHONY: all install test demo
