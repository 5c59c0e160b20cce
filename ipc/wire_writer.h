/*
 * wire_writer.h - MessagePack appended to an nng_msg; what the wire's encoders share. Others
 * include wire.h.
 *
 * Every encoder reserves its message's size first: nng_msg_append grows by just what is missing,
 * so that appending key by key would copy the message again and again. nng_msg_insert is never
 * called; it is broken in NNG 1.5.2.
 */
#ifndef ADDER_WIRE_WRITER_H
#define ADDER_WIRE_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <msgpack.h>
#include <nng/nng.h>

#include "wire.h"

/* Keys, names and numbers of any message but hello's models and an explanation. */
enum { WIRE_HEAD_BYTES = 512 };

/* A message being written. The first error stays and ends the writing, so that callers look once,
 * at the end. */
typedef struct {
    msgpack_packer packer;
    nng_msg *message;
    int error; /* 0 or an NNG error */
} wire_writer;

/* In place, and it stays there: the packer points to it. Needs no end. */
void wire_writer_init(wire_writer *w, nng_msg *message, size_t reserve);

void wire_put_str(wire_writer *w, const char *bytes, size_t length);
void wire_put_text(wire_writer *w, const char *text);
void wire_put_uint(wire_writer *w, const char *key, uint64_t value);
void wire_put_real(wire_writer *w, const char *key, double value);
void wire_put_bool(wire_writer *w, const char *key, bool value);
void wire_put_word(wire_writer *w, const char *key, const char *word);
void wire_put_bin(wire_writer *w, const char *key, const void *bytes, size_t length);
/* MessagePack that the caller has made, or the body of a bin whose head is written. */
void wire_put_raw(wire_writer *w, const void *bytes, size_t length);
/* Opens the map with what every message has first: v, and key with word. */
void wire_put_start(wire_writer *w, size_t pairs, const char *key, const char *word);

#endif
