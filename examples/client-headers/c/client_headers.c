// The extension `client-headers` in C: see ../src/lib.rs. No library, not even that of C.

#include "abi.h"

// === memory: what `init` takes stays, what a hook takes is gone when the next begins ===

extern char __heap_base;
static char *top = &__heap_base;
static char *kept;

static void *take(size_t bytes) {
    char *at = (char *)(((uintptr_t)top + 7) & ~(uintptr_t)7);
    top = at + bytes;
    while ((uintptr_t)top > __builtin_wasm_memory_size(0) << 16) {
        if (__builtin_wasm_memory_grow(0, 1) == (size_t)-1) __builtin_trap();
    }
    return at;
}

void *memcpy(void *to, const void *from, size_t length) {
    for (size_t at = 0; at < length; at++) ((char *)to)[at] = ((const char *)from)[at];
    return to;
}

// The host takes memory here for what it hands in.
EXPORT("cabi_realloc") void *cabi_realloc(void *old, size_t old_size, size_t align, size_t size) {
    (void)align;
    void *new = take(size);
    return old ? memcpy(new, old, old_size < size ? old_size : size) : new;
}

// === texts ===

#define TEXT(literal) ((text){literal, sizeof(literal) - 1})

static bool same(text a, text b) {
    if (a.length != b.length) return false;
    for (size_t at = 0; at < a.length; at++) if (a.data[at] != b.data[at]) return false;
    return true;
}

static text slice(text whole, size_t from, size_t to) { return (text){whole.data + from, to - from}; }

static text join(const text *parts, size_t count) {
    size_t length = 0, at = 0;
    for (size_t part = 0; part < count; part++) length += parts[part].length;
    char *data = take(length + 1);
    for (size_t part = 0; part < count; part++) {
        memcpy(data + at, parts[part].data, parts[part].length);
        at += parts[part].length;
    }
    return (text){data, length};
}

// === templates ===

enum { MOST = 64 }; // headers of a side, and parts of a template

// A piece of text, the value of a header, its first entry, or what a function reads.
enum { LITERAL, HEADER, FIRST, FUNCTION };

typedef struct {
    int kind;
    text text;
    void (*read)(text *);
} part;

typedef struct {
    text name;
    part *parts;
    size_t count;
} header;

typedef struct {
    header headers[MOST];
    size_t count;
} side;

static side request_side, response_side;
static text mistake; // what is wrong with the configuration

static bool wrong(const text *parts, size_t count) {
    mistake = join(parts, count);
    return false;
}

static const struct {
    text name;
    void (*read)(text *);
} INSERTS[] = {
    {{"client-ip", 9}, conn_client_ip},     {{"peer", 4}, conn_peer},
    {{"listener", 8}, conn_listener},       {{"method", 6}, request_method},
    {{"scheme", 6}, request_scheme},        {{"authority", 9}, request_authority},
    {{"path", 4}, request_path},
};

static bool parse_insert(text insert, part *out) {
    for (size_t at = 0; at < sizeof INSERTS / sizeof *INSERTS; at++) {
        if (same(insert, INSERTS[at].name)) return *out = (part){FUNCTION, {0}, INSERTS[at].read}, true;
    }
    if (insert.length > 7 && same(slice(insert, 0, 7), TEXT("header.")))
        return *out = (part){HEADER, slice(insert, 7, insert.length), 0}, true;
    if (insert.length > 6 && same(slice(insert, 0, 6), TEXT("first.")))
        return *out = (part){FIRST, slice(insert, 6, insert.length), 0}, true;
    return wrong((text[]){TEXT("unknown insert `{"), insert,
                          TEXT("}`: use {client-ip}, {peer}, {listener}, {method}, {scheme}, {authority}, {path}, "
                               "{header.NAME} or {first.NAME}")}, 3);
}

// `{{` and `}}` stand for one brace.
static bool parse_template(text given, header *out) {
    out->parts = take(sizeof(part) * (given.length + 1));
    for (size_t at = 0; at < given.length;) {
        char brace = given.data[at];
        size_t end = at + 1;
        part *next = &out->parts[out->count++];
        if (brace != '{' && brace != '}') {
            while (end < given.length && given.data[end] != '{' && given.data[end] != '}') end++;
            *next = (part){LITERAL, slice(given, at, end), 0};
        } else if (end < given.length && given.data[end] == brace) {
            *next = (part){LITERAL, slice(given, at, end++), 0};
        } else {
            while (end < given.length && given.data[end] != '}') end++;
            if (brace == '}' || end == given.length)
                return wrong((text[]){TEXT("a single `"), slice(given, at, at + 1), TEXT("` in \""), given,
                                      TEXT("\": write it twice if you mean the character")}, 5);
            if (!parse_insert(slice(given, at + 1, end), next)) return false;
            end++;
        }
        at = end;
    }
    return true;
}

// The value of a part; without data if it has none.
static text value(const part *part) {
    text read = part->text;
    option_text found = {0};
    switch (part->kind) {
    case LITERAL: return read;
    case FUNCTION: part->read(&read); return read;
    }
    request_get(read.data, read.length, &found);
    if (!found.some) return (text){0};
    read = found.value;
    if (part->kind == FIRST) {
        size_t end = 0;
        while (end < read.length && read.data[end] != ',') end++;
        while (end > 0 && (read.data[end - 1] == ' ' || read.data[end - 1] == '\t')) end--;
        read.length = end;
    }
    return read;
}

static verdict *apply(const side *side, void (*set)(const char *, size_t, const char *, size_t)) {
    static verdict next;
    top = kept;
    for (size_t at = 0; at < side->count; at++) {
        const header *header = &side->headers[at];
        text *values = take(sizeof(text) * (header->count + 1));
        bool whole = true;
        for (size_t part = 0; part < header->count && whole; part++) {
            values[part] = value(&header->parts[part]);
            whole = values[part].data != 0;
        }
        if (!whole) continue;
        text joined = join(values, header->count);
        set(header->name.data, header->name.length, joined.data, joined.length);
    }
    return &next;
}

// === the configuration: {"request": {"name": "value", …}, "response": {…}} ===

static text json;
static size_t at;

static char look(void) {
    while (at < json.length && (json.data[at] == ' ' || json.data[at] == '\n')) at++;
    return at < json.length ? json.data[at] : 0;
}

static bool expect(char wanted) {
    if (look() != wanted) return wrong((text[]){TEXT("the configuration does not fit: it has a text for each header")}, 1);
    return at++, true;
}

static bool parse_text(text *out) {
    if (!expect('"')) return false;
    char *data = take(json.length - at);
    size_t length = 0;
    for (; at < json.length && json.data[at] != '"'; at++) {
        char letter = json.data[at];
        if (letter == '\\') {
            letter = json.data[++at];
            // Of the escapes, these two stand for themselves; the others are control characters.
            if (letter != '"' && letter != '\\' && letter != '/')
                return wrong((text[]){TEXT("the configuration does not fit: a header takes no control characters")}, 1);
        }
        data[length++] = letter;
    }
    *out = (text){data, length};
    return expect('"');
}

static bool parse_side(side *out) {
    if (!expect('{')) return false;
    while (look() != '}') {
        if (out->count == MOST) return wrong((text[]){TEXT("more than 64 headers")}, 1);
        header *next = &out->headers[out->count++];
        text template;
        if (!parse_text(&next->name) || !expect(':') || !parse_text(&template)) return false;
        if (!parse_template(template, next)) return false;
        if (look() == ',') at++;
    }
    return expect('}');
}

static bool parse_config(void) {
    if (!expect('{')) return false;
    while (look() != '}') {
        text word;
        if (!parse_text(&word) || !expect(':')) return false;
        bool is_request = same(word, TEXT("request"));
        if (!is_request && !same(word, TEXT("response")))
            return wrong((text[]){TEXT("the configuration does not fit: unknown field `"), word,
                                  TEXT("`, expected `request` or `response`")}, 3);
        if (!parse_side(is_request ? &request_side : &response_side)) return false;
        if (look() == ',') at++;
    }
    return expect('}');
}

EXPORT("tidegate:extension/lifecycle@0.1.0#init") init_result *init(const char *config, size_t length) {
    static init_result result;
    json = (text){config, length};
    if (parse_config()) {
        result.interest.hooks = HOOK_REQUEST | HOOK_RESPONSE;
    } else {
        result.is_error = 1;
        result.error = mistake;
    }
    kept = top;
    return &result;
}

EXPORT("tidegate:extension/on-request@0.1.0#run") verdict *on_request(void) { return apply(&request_side, request_set); }

EXPORT("tidegate:extension/on-response@0.1.0#run") verdict *on_response(void) {
    return apply(&response_side, response_set);
}
