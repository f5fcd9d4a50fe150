// The interfaces that the example uses, as the canonical ABI of the component model lays them out: see ../wit and ../../../guest-sdk/wit.
// `wit-bindgen c` generates the like; this is what it comes down to.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// A string, or a list of bytes; `data` is null for none.
typedef struct {
    const char *data;
    size_t length;
} text;

/// `option<list<u8>>`.
typedef struct {
    uint8_t some;
    text value;
} option_text;

/// `variant body-mode`.
typedef struct {
    uint8_t tag;
    uint32_t bytes;
} body_mode;

/// `record interest`; the lists are empty here.
typedef struct {
    uint8_t hooks;
    text methods;
    text path_prefixes;
    body_mode request_body;
    body_mode response_body;
    uint32_t tick_ms;
} interest;

/// `result<interest, string>`.
typedef struct {
    uint8_t is_error;
    union {
        interest interest;
        text error;
    };
} init_result;

enum { HOOK_REQUEST = 1, HOOK_RESPONSE = 2 };

/// `variant verdict`; the other cases are not used here.
typedef struct {
    uint8_t tag;
    uint32_t payload[5];
} verdict;

#define IMPORT(interface, function) \
    __attribute__((import_module("tidegate:extension/" interface "@0.1.0"), import_name(function))) extern
#define EXPORT(name) __attribute__((export_name(name)))

IMPORT("read-request", "method") void request_method(text *out);
IMPORT("read-request", "scheme") void request_scheme(text *out);
IMPORT("read-request", "authority") void request_authority(text *out);
IMPORT("read-request", "path") void request_path(text *out);
IMPORT("read-request", "get") void request_get(const char *name, size_t length, option_text *out);
IMPORT("conn", "client-ip") void conn_client_ip(text *out);
IMPORT("conn", "peer") void conn_peer(text *out);
IMPORT("conn", "listener") void conn_listener(text *out);
IMPORT("write-request-headers", "set")
void request_set(const char *name, size_t name_length, const char *value, size_t value_length);
IMPORT("write-response-headers", "set")
void response_set(const char *name, size_t name_length, const char *value, size_t value_length);
