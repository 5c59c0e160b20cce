/* fetch.c - see fetch.h. */
#include "fetch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <curl/curl.h>
#include <sodium.h>

#include "admin.h"
#include "visible.h"

#define SCHEME "http://"
enum { URL_BYTES = 2048, HTTP_OK = 200 };

struct fetch {
    CURL *curl;
    struct curl_slist *headers;
    char base[URL_BYTES / 2]; /* without a slash at its end */
    char *body;               /* of the answer that is coming */
    size_t bytes;
};

bool fetch_is_url(const char *url) {
    return strncasecmp(url, SCHEME, strlen(SCHEME)) == 0;
}

void fetch_close(fetch *f) {
    if (f == NULL) {
        return;
    }
    for (struct curl_slist *header = f->headers; header != NULL; header = header->next) {
        sodium_memzero(header->data, strlen(header->data));
    }
    curl_slist_free_all(f->headers);
    curl_easy_cleanup(f->curl);
    free(f->body);
    free(f);
}

/* libcurl takes what is less than all for a failure. */
static size_t take(char *bytes, size_t one, size_t count, void *context) {
    fetch *f = context;
    (void)one; /* always 1 */
    if (count > FETCH_REPLY_BYTES_MAX - f->bytes) {
        return 0;
    }
    char *body = realloc(f->body, f->bytes + count + 1);
    if (body == NULL) {
        return 0;
    }
    f->body = body;
    memcpy(f->body + f->bytes, bytes, count);
    f->bytes += count;
    return count;
}

/* Nothing but a host and a port: neither a path nor a user. */
static bool take_url(fetch *f, const char *url) {
    size_t length = strlen(url);
    length -= length > 0 && url[length - 1] == '/';
    if (!fetch_is_url(url) || length >= sizeof f->base || length <= strlen(SCHEME) ||
        strcspn(url + strlen(SCHEME), "/?#@\\ ") != length - strlen(SCHEME)) {
        return false;
    }
    memcpy(f->base, url, length);
    return true;
}

static bool take_token(fetch *f, const char *path, char *error, size_t error_bytes) {
    char token[ADMIN_TOKEN_MAX + 1], header[ADMIN_TOKEN_MAX + 32];
    if (!admin_read_token(path, token, error, error_bytes)) {
        return false;
    }
    snprintf(header, sizeof header, "Authorization: Bearer %s", token);
    f->headers = curl_slist_append(NULL, header);
    sodium_memzero(token, sizeof token);
    sodium_memzero(header, sizeof header);
    if (f->headers == NULL) {
        snprintf(error, error_bytes, "out of memory");
    }
    return f->headers != NULL;
}

static bool set_up(fetch *f, size_t timeout_ms) {
    f->curl = curl_easy_init();
    return f->curl != NULL &&
           curl_easy_setopt(f->curl, CURLOPT_PROTOCOLS_STR, "http") == CURLE_OK &&
           curl_easy_setopt(f->curl, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
           curl_easy_setopt(f->curl, CURLOPT_PROXY, "") == CURLE_OK &&
           curl_easy_setopt(f->curl, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           curl_easy_setopt(f->curl, CURLOPT_TIMEOUT_MS, (long)timeout_ms) == CURLE_OK &&
           curl_easy_setopt(f->curl, CURLOPT_HTTPHEADER, f->headers) == CURLE_OK &&
           curl_easy_setopt(f->curl, CURLOPT_WRITEFUNCTION, take) == CURLE_OK &&
           curl_easy_setopt(f->curl, CURLOPT_WRITEDATA, f) == CURLE_OK;
}

bool fetch_open(fetch **out, const char *url, const char *token_file, size_t timeout_ms,
                char *error, size_t error_bytes) {
    *out = NULL;
    fetch *f = calloc(1, sizeof *f);
    bool good = f != NULL && take_url(f, url);
    if (!good) {
        snprintf(error, error_bytes,
                 "--connect: expected " SCHEME "HOST:PORT and nothing after it");
    }
    good = good && (token_file == NULL || take_token(f, token_file, error, error_bytes));
    if (good && !set_up(f, timeout_ms)) {
        snprintf(error, error_bytes, "libcurl could not start");
        good = false;
    }
    if (!good) {
        fetch_close(f);
        return false;
    }
    *out = f;
    return true;
}

/* False: it does not fit. */
static bool address_of(const fetch *f, const char *path, const fetch_parameter *parameter,
                       char address[URL_BYTES]) {
    size_t used = (size_t)snprintf(address, URL_BYTES, "%s%s", f->base, path);
    char before = '?';
    for (; parameter->name != NULL; parameter++) {
        if (parameter->value == NULL) {
            continue;
        }
        char *value = curl_easy_escape(f->curl, parameter->value, 0);
        if (value == NULL || used >= URL_BYTES) {
            curl_free(value);
            return false;
        }
        used += (size_t)snprintf(address + used, URL_BYTES - used, "%c%s=%s", before,
                                 parameter->name, value);
        curl_free(value);
        before = '&';
    }
    return used < URL_BYTES;
}

static void tell_refusal(const json_t *document, long status, char *error, size_t error_bytes) {
    const char *said = json_string_value(json_object_get(document, "error"));
    if (said != NULL && visible_is_plain(said)) {
        snprintf(error, error_bytes, "%s%s", said, status == 401 ? "; see --token-file" : "");
    } else {
        snprintf(error, error_bytes, "expected a JSON document of adderd, came HTTP status %ld",
                 status);
    }
}

json_t *fetch_get(fetch *f, const char *path, const fetch_parameter *parameters, long *status,
                  char *error, size_t error_bytes) {
    char address[URL_BYTES];
    *status = 0;
    f->bytes = 0;
    if (!address_of(f, path, parameters, address) ||
        curl_easy_setopt(f->curl, CURLOPT_URL, address) != CURLE_OK) {
        snprintf(error, error_bytes, "a name is too long, or no memory");
        return NULL;
    }
    CURLcode code = curl_easy_perform(f->curl);
    if (code != CURLE_OK) {
        snprintf(error, error_bytes, "%s: %s", f->base,
                 code == CURLE_WRITE_ERROR ? "the answer is too long" : curl_easy_strerror(code));
        return NULL;
    }
    curl_easy_getinfo(f->curl, CURLINFO_RESPONSE_CODE, status);
    json_t *document = json_loadb(f->body != NULL ? f->body : "", f->bytes, 0, NULL);
    if (*status != HTTP_OK || !json_is_object(document)) {
        tell_refusal(document, *status, error, error_bytes);
        json_decref(document);
        return NULL;
    }
    return document;
}
