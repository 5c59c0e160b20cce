/*
 * wire_writer.c - see wire_writer.h.
 */
#include "wire_writer.h"

#include <string.h>

static int write_bytes(void *argument, const char *bytes, size_t length) {
    wire_writer *w = argument;
    if (w->error == 0) {
        w->error = nng_msg_append(w->message, bytes, length);
    }
    return w->error;
}

void wire_writer_init(wire_writer *w, nng_msg *message, size_t reserve) {
    w->message = message;
    w->error = nng_msg_reserve(message, nng_msg_len(message) + reserve);
    msgpack_packer_init(&w->packer, w, write_bytes);
}

void wire_put_str(wire_writer *w, const char *bytes, size_t length) {
    if (length > UINT32_MAX) {
        w->error = NNG_EMSGSIZE;
        return;
    }
    msgpack_pack_str(&w->packer, length);
    msgpack_pack_str_body(&w->packer, bytes, length);
}

void wire_put_text(wire_writer *w, const char *text) {
    wire_put_str(w, text, strlen(text));
}

void wire_put_uint(wire_writer *w, const char *key, uint64_t value) {
    wire_put_text(w, key);
    msgpack_pack_uint64(&w->packer, value);
}

void wire_put_real(wire_writer *w, const char *key, double value) {
    wire_put_text(w, key);
    msgpack_pack_double(&w->packer, value);
}

void wire_put_bool(wire_writer *w, const char *key, bool value) {
    wire_put_text(w, key);
    if (value) {
        msgpack_pack_true(&w->packer);
    } else {
        msgpack_pack_false(&w->packer);
    }
}

void wire_put_word(wire_writer *w, const char *key, const char *word) {
    wire_put_text(w, key);
    wire_put_text(w, word);
}

void wire_put_bin(wire_writer *w, const char *key, const void *bytes, size_t length) {
    wire_put_text(w, key);
    if (length > UINT32_MAX) {
        w->error = NNG_EMSGSIZE;
        return;
    }
    msgpack_pack_bin(&w->packer, length);
    msgpack_pack_bin_body(&w->packer, bytes, length);
}

void wire_put_raw(wire_writer *w, const void *bytes, size_t length) {
    write_bytes(w, bytes, length);
}

void wire_put_start(wire_writer *w, size_t pairs, const char *key, const char *word) {
    msgpack_pack_map(&w->packer, pairs);
    wire_put_uint(w, "v", WIRE_VERSION);
    wire_put_word(w, key, word);
}
