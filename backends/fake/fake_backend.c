/*
 * fake_backend.c - the ABI of gpt4all_backend.h without an engine, for fast tests
 *
 *     cc -shared -fPIC -fvisibility=hidden -std=c11 -D_GNU_SOURCE -I ../include \
 *         fake_backend.c -o libgpt4all-cpu.so -lpthread -lm
 *
 * It keeps the header's whole contract: statuses and messages, struct sizes,
 * busy models, cancelling, held back text, prefix reuse, context shifts. Only
 * what a model would say comes from a script, which stands in the model file
 * after the last line that reads `#!gpt4all-fake`; whatever is before it (a
 * GGUF header that satisfies a preflight check, say) is skipped. One directive
 * a line; an empty line or one that begins with # is a comment. TEXT goes from
 * the one space after the directive to the end of the line, outer spaces
 * included, and knows \n, \r, \t, \\ and \xHH. Numbers are decimal.
 *
 * Model facts
 *     architecture TEXT, name TEXT, description TEXT, quantization TEXT, chat_template TEXT
 *     n_ctx_train N, n_embd N, n_layer N, n_params N, weights_bytes N
 *     context_bytes N     for each token of the context; default 1024
 *     compute_bytes N     of work buffers on every device with layers; default 4096
 *     n_vocab N           at least the tokens there are, which is also the default
 *     add_bos 0|1         default 1
 *     traits WORD...      of: encoder decoder recurrent embedding diffusion can_shift;
 *                         default: decoder can_shift
 *     control TEXT        one more control token, known to PARSE_SPECIAL
 *
 * What is generated, one line after the other
 *     piece TEXT          one token; its bytes may end inside a UTF-8 character
 *     text TEXT           one token per byte, the ids that tokenising TEXT gives
 *     echo                the prompt's tokens, control tokens left out
 *     end                 the end-of-generation token
 *     turn                what follows is for the next generate call; the last turn
 *                         serves all later calls
 * Every call starts at its turn's first line. A turn without `end` is repeated
 * until something else stops it; an empty turn is the end token alone.
 *
 * Time and gates
 *     delay_us N                 before each token
 *     prompt_delay_us N          before each batch of the prompt
 *     wait_cancel_after N        with N tokens delivered, wait for the cancel flag
 *     wait_cancel_in_prompt N    before batch N of the prompt (from 0), wait for it
 * All of them look at the cancel flag every millisecond or more often. A wait
 * first logs "waiting for the cancel flag" (level debug), so that a test knows
 * when it is there; a flag that nobody sets within a minute fails the call.
 *
 * Embeddings, of models with the trait `embedding`
 *     pooling N, wordpiece N     as in gpt4all_model_info; default 1 and 0
 *     basename TEXT
 *     batch_texts N              texts computed at once, longest first; default 2
 *     embed_delay_us N           before each batch
 *     wait_cancel_in_batch N     before batch N (from 0), wait for the cancel flag
 *     fail_embed N STATUS TEXT   with N batches computed
 * A vector of n_embd numbers depends on its text's tokens and on nothing else.
 *
 * Failures and noise
 *     fail_load STATUS TEXT      STATUS is a name without GPT4ALL_ERROR_, as OUT_OF_MEMORY
 *     fail_at N STATUS TEXT      with N tokens delivered
 *     progress_steps N           the load reports 0/N, 1/N ... N/N; default 4, 0 is silence
 *     log LEVEL TEXT             one line while loading; debug, info, warning or error
 *     log_calls 1                load, set_threads and generate log their arguments
 *                                (level debug)
 *
 * Chats take the form that fake_chat.h describes, whatever the template.
 *
 * Grammars are only looked at for a rule named root, and biases for sense; both
 * are logged. Log-probabilities are made up: 1/2 for the token of the script.
 *
 * Tokens: 0 is <|begin|>, 1 is <|end|>, 2 is <|unk|>, 3 to 258 are the bytes;
 * then come `piece` and `control` lines in the order of the script. Tokenising
 * gives bytes, and control tokens with PARSE_SPECIAL.
 *
 * Fixed when compiling, as no file is read before them: FAKE_ABI_VERSION,
 * FAKE_BACKEND_NAME ("cpu"), FAKE_INIT_STATUS (of gpt4all_init), FAKE_LOAD_STATUS
 * (of gpt4all_model_load, once the script has been read), FAKE_DEVICES
 * (gpt4all_device_info initialisers, each followed by a comma, after the CPU).
 */
#include "fake_chat.h"
#include "fake_placement.h"
#include "gpt4all_backend.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#ifndef FAKE_ABI_VERSION
#define FAKE_ABI_VERSION GPT4ALL_ABI_VERSION
#endif
#ifndef FAKE_BACKEND_NAME
#define FAKE_BACKEND_NAME "cpu"
#endif
#ifndef FAKE_INIT_STATUS
#define FAKE_INIT_STATUS GPT4ALL_OK
#endif
#ifndef FAKE_LOAD_STATUS
#define FAKE_LOAD_STATUS GPT4ALL_OK
#endif
#ifndef FAKE_DEVICES
#define FAKE_DEVICES
#endif

enum { TOKEN_BEGIN = 0, TOKEN_END = 1, TOKEN_UNKNOWN = 2, TOKEN_FIRST_BYTE = 3, TOKEN_FIRST_SCRIPTED = 259 };

/* Marks in the list of generated tokens; ids are never negative. */
enum { STEP_TURN = -1, STEP_ECHO = -2 };

enum { POLL_US = 500, GATE_LIMIT_US = 60 * 1000 * 1000 };
/* A displaced context costs the caller's budget a fixed price, and is worth it from some tokens on. */
enum { DISPLACED_TOKEN_BYTES = 1024, WORTH_COPYING = 16 };
enum { MOST_TOP_LOGPROBS = 1000 };
enum { CONTEXT_RESERVE = 4, SMALLEST_CONTEXT = 8, MOST_THREADS = 512, LARGEST_STRUCT = 4096 };

/* A part of the script, changed in place while it is read. */
typedef struct bytes {
    char *data;
    size_t length;
} bytes;

typedef struct text_view {
    const char *data;
    size_t length;
} text_view;

typedef struct scripted_token {
    text_view text;
    bool control;
} scripted_token;

typedef struct scripted_failure {
    gpt4all_status status; /* GPT4ALL_OK: none */
    int64_t at;
    char *message;
} scripted_failure;

/* A context that another prompt displaced. */
typedef struct displaced_context {
    struct displaced_context *next; /* stored before this one */
    int32_t n, n_reusable;
    int32_t tokens[];
} displaced_context;

struct gpt4all_model {
    atomic_int busy;
    char *file; /* holds every text of the script */
    char byte_texts[256];
    char *architecture, *name, *description, *quantization, *chat_template;
    int64_t n_ctx_train, n_vocab, n_embd, n_layer, n_params, weights_bytes, context_bytes, compute_bytes, add_bos;
    int64_t pooling, wordpiece, batch_texts, embed_delay_us, wait_cancel_in_batch;
    char *basename;
    int64_t delay_us, prompt_delay_us, wait_cancel_after, wait_cancel_in_prompt, progress_steps, log_calls;
    int32_t traits;
    scripted_token *tokens;
    size_t n_tokens;
    int32_t *steps;
    size_t n_steps;
    int64_t calls; /* of gpt4all_generate that reached the script */
    scripted_failure load_failure, generate_failure, embed_failure;

    placement placed;
    int32_t n_ctx, n_batch;
    int32_t *memory; /* n_ctx tokens, those "in the KV cache" first */
    int32_t n_memory;
    int32_t n_reusable; /* leading ones no context shift has touched */
    bool keep_context;
    displaced_context *displaced; /* latest first */
    int64_t displaced_budget, displaced_bytes;
    int32_t next_token; /* what the last logits favour */
};

/* Failures */

static _Thread_local char last_error[1024];

__attribute__((format(printf, 2, 3))) static gpt4all_status fail(gpt4all_status status, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(last_error, sizeof last_error, format, args);
    va_end(args);
    return status;
}

static void forget_error(void) { last_error[0] = '\0'; }

static gpt4all_status null_argument(const char *name) {
    return fail(GPT4ALL_ERROR_INVALID_ARGUMENT, "%s must not be NULL", name);
}

static gpt4all_status out_of_memory(void) { return fail(GPT4ALL_ERROR_OUT_OF_MEMORY, "out of memory"); }

static atomic_bool initialised;

static gpt4all_status need_init(void) {
    if (!atomic_load(&initialised)) return fail(GPT4ALL_ERROR_INVALID_ARGUMENT, "gpt4all_init has not been called");
    return GPT4ALL_OK;
}

/* Structs of other sizes than ours */

static uint32_t size_of_given(const void *given) {
    uint32_t size;
    memcpy(&size, given, sizeof size);
    return size;
}

static gpt4all_status check_struct(const void *given, size_t known, const char *name) {
    if (given == NULL) return null_argument(name);
    uint32_t size = size_of_given(given);
    if (size < sizeof size)
        return fail(GPT4ALL_ERROR_INVALID_ARGUMENT, "%s->struct_size is %u; call the init function first", name,
                    (unsigned)size);
    for (size_t i = known; i < size; i++)
        if (((const unsigned char *)given)[i] != 0)
            return fail(GPT4ALL_ERROR_INVALID_ARGUMENT,
                        "%s is %u bytes long, of which this library knows %zu, and byte %zu is not zero", name,
                        (unsigned)size, known, i);
    return GPT4ALL_OK;
}

static size_t common_size(const void *given, size_t known) {
    size_t size = size_of_given(given);
    return size < known ? size : known;
}

/* `ours` already holds the defaults. */
static gpt4all_status read_struct(void *ours, size_t known, const void *given, const char *name) {
    gpt4all_status status = check_struct(given, known, name);
    if (status == GPT4ALL_OK) memcpy(ours, given, common_size(given, known));
    return status;
}

static void write_struct(void *given, const void *ours, size_t known) {
    uint32_t size = size_of_given(given);
    memcpy(given, ours, common_size(given, known));
    memcpy(given, &size, sizeof size);
}

static gpt4all_status init_struct(void *given, uint64_t size, const void *defaults, size_t known, const char *name) {
    forget_error();
    if (given == NULL) return null_argument(name);
    if (size < sizeof(uint32_t) || size > LARGEST_STRUCT)
        return fail(GPT4ALL_ERROR_INVALID_ARGUMENT, "size %llu is no struct's size", (unsigned long long)size);
    uint32_t struct_size = (uint32_t)size;
    memset(given, 0, struct_size);
    memcpy(given, defaults, struct_size < known ? struct_size : known);
    memcpy(given, &struct_size, sizeof struct_size);
    return GPT4ALL_OK;
}

static const gpt4all_load_options load_defaults = {
    .n_ctx = 2048,
    .n_batch = 512,
    .n_threads = 4,
    .n_threads_batch = 4,
    .n_gpu_layers = 100,
    .device = -1,
    .flash_attention = -1,
    .use_mmap = 1,
    .prefix_cache_bytes = INT64_C(256) << 20,
};

static const gpt4all_generate_options generate_defaults = {
    .max_tokens = 200,
    .n_batch = 512,
    .top_k = 40,
    .temperature = 0.7F,
    .top_p = 0.4F,
    .min_p = 0.0F,
    .repeat_penalty = 1.18F,
    .repeat_last_n = 64,
    .seed = 0,
    .reuse_prefix = 1,
    .n_keep = 0,
};

static const gpt4all_embed_options embed_defaults = {.normalize = 1};

gpt4all_status gpt4all_embed_options_init(gpt4all_embed_options *options, uint64_t size) {
    return init_struct(options, size, &embed_defaults, sizeof embed_defaults, "options");
}

gpt4all_status gpt4all_load_options_init(gpt4all_load_options *options, uint64_t size) {
    return init_struct(options, size, &load_defaults, sizeof load_defaults, "options");
}

gpt4all_status gpt4all_generate_options_init(gpt4all_generate_options *options, uint64_t size) {
    return init_struct(options, size, &generate_defaults, sizeof generate_defaults, "options");
}

gpt4all_status gpt4all_generate_result_init(gpt4all_generate_result *result, uint64_t size) {
    static const gpt4all_generate_result zero;
    return init_struct(result, size, &zero, sizeof zero, "result");
}

/* Log: a line is delivered under the read lock, so that taking the write lock
 * waits for the last use of the old callback. */

static pthread_rwlock_t log_lock = PTHREAD_RWLOCK_INITIALIZER;
static gpt4all_log_callback log_callback;
static void *log_payload;
static _Thread_local bool inside_log_callback;

static void log_bytes(int32_t level, const char *text, size_t length) {
    if (inside_log_callback) return;
    pthread_rwlock_rdlock(&log_lock);
    if (log_callback != NULL) {
        inside_log_callback = true;
        log_callback(level, text, (int64_t)length, log_payload);
        inside_log_callback = false;
    }
    pthread_rwlock_unlock(&log_lock);
}

__attribute__((format(printf, 1, 2))) static void log_call(const char *format, ...) {
    char line[512];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    log_bytes(GPT4ALL_LOG_DEBUG, line, strlen(line));
}

gpt4all_status gpt4all_set_log_callback(gpt4all_log_callback callback, void *payload) {
    forget_error();
    if (inside_log_callback)
        return fail(GPT4ALL_ERROR_BUSY, "the log callback cannot be replaced from inside a log callback");
    pthread_rwlock_wrlock(&log_lock);
    log_callback = callback;
    log_payload = payload;
    pthread_rwlock_unlock(&log_lock);
    return GPT4ALL_OK;
}

/* Library and devices */

int32_t gpt4all_abi_version(void) { return FAKE_ABI_VERSION; }

const char *gpt4all_build_info(void) { return FAKE_BACKEND_NAME " fake-backend no-engine"; }

const char *gpt4all_last_error(void) { return last_error; }

gpt4all_status gpt4all_init(void) {
    forget_error();
    if (FAKE_INIT_STATUS != GPT4ALL_OK) return fail(FAKE_INIT_STATUS, "this fake was compiled to fail here");
    atomic_store(&initialised, true);
    return GPT4ALL_OK;
}

static const gpt4all_device_info devices[] = {{sizeof(gpt4all_device_info), GPT4ALL_DEVICE_CPU, INT64_C(8) << 30,
                                               INT64_C(4) << 30, "CPU", "Fake processor", "", "CPU"},
                                              FAKE_DEVICES};
enum { N_DEVICES = sizeof devices / sizeof devices[0] };
_Static_assert((int)N_DEVICES <= (int)MOST_DEVICES, "FAKE_DEVICES has too many");

gpt4all_status gpt4all_device_count(int32_t *count) {
    forget_error();
    if (count == NULL) return null_argument("count");
    gpt4all_status status = need_init();
    if (status == GPT4ALL_OK) *count = N_DEVICES;
    return status;
}

static gpt4all_status check_device_index(const char *name, int32_t index, int32_t lowest) {
    if (index >= lowest && index < N_DEVICES) return GPT4ALL_OK;
    return fail(GPT4ALL_ERROR_INVALID_ARGUMENT, "%s %d is unknown; there are %d devices", name, (int)index,
                (int)N_DEVICES);
}

gpt4all_status gpt4all_device_get_info(int32_t index, gpt4all_device_info *info) {
    forget_error();
    gpt4all_status status = check_struct(info, sizeof *info, "info");
    if (status == GPT4ALL_OK) status = need_init();
    if (status == GPT4ALL_OK) status = check_device_index("index", index, 0);
    if (status == GPT4ALL_OK) write_struct(info, &devices[index], sizeof *info);
    return status;
}

/* Script: words and numbers */

typedef struct named_value {
    const char *name;
    int32_t value;
} named_value;

static const named_value status_names[] = {
    {"INTERNAL", GPT4ALL_ERROR_INTERNAL},
    {"INVALID_ARGUMENT", GPT4ALL_ERROR_INVALID_ARGUMENT},
    {"OUT_OF_MEMORY", GPT4ALL_ERROR_OUT_OF_MEMORY},
    {"MODEL_LOAD", GPT4ALL_ERROR_MODEL_LOAD},
    {"UNSUPPORTED_MODEL", GPT4ALL_ERROR_UNSUPPORTED_MODEL},
    {"CONTEXT_OVERFLOW", GPT4ALL_ERROR_CONTEXT_OVERFLOW},
    {"DECODE", GPT4ALL_ERROR_DECODE},
    {"CANCELLED", GPT4ALL_ERROR_CANCELLED},
    {"BUSY", GPT4ALL_ERROR_BUSY},
    {"UNSUPPORTED_CPU", GPT4ALL_ERROR_UNSUPPORTED_CPU},
    {"BUFFER_TOO_SMALL", GPT4ALL_ERROR_BUFFER_TOO_SMALL},
    {"TEMPLATE", GPT4ALL_ERROR_TEMPLATE},
    {"INVALID_MODEL", GPT4ALL_ERROR_INVALID_MODEL},
    {NULL, 0},
};

static const named_value trait_names[] = {
    {"encoder", GPT4ALL_TRAIT_ENCODER},
    {"decoder", GPT4ALL_TRAIT_DECODER},
    {"recurrent", GPT4ALL_TRAIT_RECURRENT},
    {"embedding", GPT4ALL_TRAIT_EMBEDDING},
    {"diffusion", GPT4ALL_TRAIT_DIFFUSION},
    {"can_shift", GPT4ALL_TRAIT_CAN_SHIFT},
    {NULL, 0},
};

static const named_value level_names[] = {
    {"debug", GPT4ALL_LOG_DEBUG},
    {"info", GPT4ALL_LOG_INFO},
    {"warning", GPT4ALL_LOG_WARNING},
    {"error", GPT4ALL_LOG_ERROR},
    {NULL, 0},
};

static bool look_up(const named_value *table, const char *name, int32_t *value) {
    for (; table->name != NULL; table++)
        if (strcmp(table->name, name) == 0) {
            *value = table->value;
            return true;
        }
    return false;
}

static const struct {
    const char *name;
    size_t offset;
    int64_t lowest, highest;
} number_directives[] = {
    {"n_ctx_train", offsetof(gpt4all_model, n_ctx_train), SMALLEST_CONTEXT, INT32_MAX},
    {"n_vocab", offsetof(gpt4all_model, n_vocab), 1, INT32_MAX},
    {"n_embd", offsetof(gpt4all_model, n_embd), 1, INT32_MAX},
    {"n_layer", offsetof(gpt4all_model, n_layer), 1, INT32_MAX},
    {"n_params", offsetof(gpt4all_model, n_params), 0, INT64_MAX},
    {"weights_bytes", offsetof(gpt4all_model, weights_bytes), 0, INT64_MAX},
    {"context_bytes", offsetof(gpt4all_model, context_bytes), 0, INT32_MAX},
    {"compute_bytes", offsetof(gpt4all_model, compute_bytes), 0, INT32_MAX},
    {"add_bos", offsetof(gpt4all_model, add_bos), 0, 1},
    {"delay_us", offsetof(gpt4all_model, delay_us), 0, INT32_MAX},
    {"prompt_delay_us", offsetof(gpt4all_model, prompt_delay_us), 0, INT32_MAX},
    {"wait_cancel_after", offsetof(gpt4all_model, wait_cancel_after), 0, INT32_MAX},
    {"wait_cancel_in_prompt", offsetof(gpt4all_model, wait_cancel_in_prompt), 0, INT32_MAX},
    {"pooling", offsetof(gpt4all_model, pooling), 0, GPT4ALL_POOLING_RANK},
    {"wordpiece", offsetof(gpt4all_model, wordpiece), 0, 7},
    {"batch_texts", offsetof(gpt4all_model, batch_texts), 1, 256},
    {"embed_delay_us", offsetof(gpt4all_model, embed_delay_us), 0, INT32_MAX},
    {"wait_cancel_in_batch", offsetof(gpt4all_model, wait_cancel_in_batch), 0, INT32_MAX},
    {"progress_steps", offsetof(gpt4all_model, progress_steps), 0, 1000},
    {"log_calls", offsetof(gpt4all_model, log_calls), 0, 1},
};

static const struct {
    const char *name;
    size_t offset;
} text_directives[] = {
    {"architecture", offsetof(gpt4all_model, architecture)},   {"name", offsetof(gpt4all_model, name)},
    {"description", offsetof(gpt4all_model, description)},     {"quantization", offsetof(gpt4all_model, quantization)},
    {"chat_template", offsetof(gpt4all_model, chat_template)}, {"basename", offsetof(gpt4all_model, basename)},
};

static bool parse_number(const char *text, int64_t lowest, int64_t highest, int64_t *value) {
    char *end;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (end == text || *end != '\0' || errno != 0 || number < lowest || number > highest) return false;
    *value = number;
    return true;
}

static int hex_digit(char c) {
    const char *digits = "0123456789abcdef", *found;
    if (c >= 'A' && c <= 'F') c = (char)(c - 'A' + 'a');
    found = c == '\0' ? NULL : strchr(digits, c);
    return found == NULL ? -1 : (int)(found - digits);
}

/* Replaces escapes where they stand; the text only gets shorter. */
static bool unescape(char *text, size_t *length) {
    size_t to = 0;
    for (size_t from = 0; from < *length; from++) {
        char c = text[from];
        if (c == '\\') {
            c = ++from < *length ? text[from] : '\0';
            if (c == 'n')
                c = '\n';
            else if (c == 'r')
                c = '\r';
            else if (c == 't')
                c = '\t';
            else if (c == 'x' && from + 2 < *length) {
                int high = hex_digit(text[from + 1]), low = hex_digit(text[from + 2]);
                if (high < 0 || low < 0) return false;
                c = (char)(high * 16 + low);
                from += 2;
            } else if (c != '\\')
                return false;
        }
        text[to++] = c;
    }
    text[to] = '\0';
    *length = to;
    return true;
}

/* Script: directives */

/* Makes room for one more in an array that grows by doubling from 16. NULL
 * leaves the array as it is. */
static void *grown(void *array, size_t used, size_t item_size) {
    bool full = used == 0 || (used >= 16 && (used & (used - 1)) == 0);
    return full ? realloc(array, (used == 0 ? 16 : 2 * used) * item_size) : array;
}

static bool add_step(gpt4all_model *model, int32_t step) {
    int32_t *steps = grown(model->steps, model->n_steps, sizeof *steps);
    if (steps == NULL) return false;
    model->steps = steps;
    model->steps[model->n_steps++] = step;
    return true;
}

static bool add_token(gpt4all_model *model, text_view text, bool control) {
    scripted_token *tokens = grown(model->tokens, model->n_tokens, sizeof *tokens);
    if (tokens == NULL) return false;
    model->tokens = tokens;
    model->tokens[model->n_tokens++] = (scripted_token){text, control};
    return true;
}

static gpt4all_status bad_script(const char *path, const char *key, const char *why) {
    return fail(GPT4ALL_ERROR_MODEL_LOAD, "%s: directive '%s' %s", path, key, why);
}

/* Splits the first word off `text`; what follows one space is the rest. */
static char *split_word(bytes *text) {
    char *word = text->data, *space = memchr(text->data, ' ', text->length);
    size_t length = space == NULL ? text->length : (size_t)(space - word);
    word[length] = '\0';
    size_t skipped = space == NULL ? length : length + 1;
    text->data += skipped;
    text->length -= skipped;
    return word;
}

static bool parse_traits(gpt4all_model *model, bytes rest) {
    model->traits = 0;
    while (rest.length > 0) {
        int32_t trait;
        char *word = split_word(&rest);
        if (*word == '\0') continue;
        if (!look_up(trait_names, word, &trait)) return false;
        model->traits |= trait;
    }
    return true;
}

static bool parse_failure(scripted_failure *failure, bytes rest, bool with_position) {
    failure->at = 0;
    if (with_position && !parse_number(split_word(&rest), 0, INT32_MAX, &failure->at)) return false;
    if (!look_up(status_names, split_word(&rest), &failure->status)) return false;
    failure->message = rest.data;
    return unescape(rest.data, &rest.length);
}

static gpt4all_status parse_tokens(gpt4all_model *model, const char *path, const char *key, bytes rest) {
    bool room = true;
    if (!unescape(rest.data, &rest.length)) return bad_script(path, key, "has a broken escape");
    if (strcmp(key, "text") == 0) {
        for (size_t i = 0; i < rest.length && room; i++)
            room = add_step(model, TOKEN_FIRST_BYTE + (unsigned char)rest.data[i]);
    } else {
        bool control = strcmp(key, "control") == 0;
        if (control && rest.length == 0) return bad_script(path, key, "needs a text");
        if (!control) room = add_step(model, TOKEN_FIRST_SCRIPTED + (int32_t)model->n_tokens);
        room = room && add_token(model, (text_view){rest.data, rest.length}, control);
    }
    return room ? GPT4ALL_OK : out_of_memory();
}

static gpt4all_status parse_log(const char *path, bytes rest) {
    int32_t level;
    if (!look_up(level_names, split_word(&rest), &level)) return bad_script(path, "log", "names no level");
    if (!unescape(rest.data, &rest.length)) return bad_script(path, "log", "has a broken escape");
    log_bytes(level, rest.data, rest.length);
    return GPT4ALL_OK;
}

/* Numbers and texts, whose place in the model a table names. */
static bool parse_fact(gpt4all_model *model, const char *key, bytes rest, bool *valid) {
    for (size_t i = 0; i < sizeof number_directives / sizeof number_directives[0]; i++)
        if (strcmp(key, number_directives[i].name) == 0) {
            int64_t *number = (int64_t *)((char *)model + number_directives[i].offset);
            *valid = parse_number(rest.data, number_directives[i].lowest, number_directives[i].highest, number);
            return true;
        }
    for (size_t i = 0; i < sizeof text_directives / sizeof text_directives[0]; i++)
        if (strcmp(key, text_directives[i].name) == 0) {
            *(char **)((char *)model + text_directives[i].offset) = rest.data;
            *valid = unescape(rest.data, &rest.length);
            return true;
        }
    return false;
}

static gpt4all_status parse_line(gpt4all_model *model, const char *path, bytes line) {
    if (line.length == 0 || line.data[0] == '#') return GPT4ALL_OK;
    bytes rest = line;
    const char *key = split_word(&rest);
    bool valid = true;
    if (parse_fact(model, key, rest, &valid)) return valid ? GPT4ALL_OK : bad_script(path, key, "has a bad value");
    if (strcmp(key, "piece") == 0 || strcmp(key, "text") == 0 || strcmp(key, "control") == 0)
        return parse_tokens(model, path, key, rest);
    if (strcmp(key, "end") == 0) return add_step(model, TOKEN_END) ? GPT4ALL_OK : out_of_memory();
    if (strcmp(key, "echo") == 0) return add_step(model, STEP_ECHO) ? GPT4ALL_OK : out_of_memory();
    if (strcmp(key, "turn") == 0) return add_step(model, STEP_TURN) ? GPT4ALL_OK : out_of_memory();
    if (strcmp(key, "log") == 0) return parse_log(path, rest);
    if (strcmp(key, "traits") == 0)
        valid = parse_traits(model, rest);
    else if (strcmp(key, "fail_load") == 0)
        valid = parse_failure(&model->load_failure, rest, false);
    else if (strcmp(key, "fail_at") == 0)
        valid = parse_failure(&model->generate_failure, rest, true);
    else if (strcmp(key, "fail_embed") == 0)
        valid = parse_failure(&model->embed_failure, rest, true);
    else
        return bad_script(path, key, "is unknown");
    return valid ? GPT4ALL_OK : bad_script(path, key, "has a bad value");
}

static char *find_script(const bytes *file) {
    static const char marker[] = "#!gpt4all-fake\n";
    const size_t length = sizeof marker - 1;
    for (size_t at = file->length >= length ? file->length - length + 1 : 0; at-- > 0;)
        if (memcmp(file->data + at, marker, length) == 0 && (at == 0 || file->data[at - 1] == '\n'))
            return file->data + at + length;
    return NULL;
}

static gpt4all_status parse_script(gpt4all_model *model, const char *path, const bytes *file) {
    char *at = find_script(file), *end = file->data + file->length;
    if (at == NULL) return fail(GPT4ALL_ERROR_MODEL_LOAD, "%s: this fake needs a line '#!gpt4all-fake'", path);
    while (at < end) {
        char *line_end = memchr(at, '\n', (size_t)(end - at));
        if (line_end == NULL) line_end = end;
        *line_end = '\0';
        gpt4all_status status = parse_line(model, path, (bytes){at, (size_t)(line_end - at)});
        if (status != GPT4ALL_OK) return status;
        at = line_end + 1;
    }
    int64_t n_known = TOKEN_FIRST_SCRIPTED + (int64_t)model->n_tokens;
    if (model->n_vocab == 0) model->n_vocab = n_known;
    if (model->n_vocab < n_known) return bad_script(path, "n_vocab", "is smaller than the tokens of the script");
    return GPT4ALL_OK;
}

/* Loading and freeing */

static gpt4all_status read_file(const char *path, bytes *file) {
    FILE *stream = fopen(path, "rb");
    if (stream == NULL) return fail(GPT4ALL_ERROR_MODEL_LOAD, "%s: %s", path, strerror(errno));
    size_t capacity = 0, got = 0;
    errno = 0;
    do {
        file->length += got;
        if (capacity - file->length < 2) {
            capacity = capacity == 0 ? 65536 : 2 * capacity;
            char *larger = realloc(file->data, capacity);
            if (larger == NULL) {
                fclose(stream);
                return out_of_memory();
            }
            file->data = larger;
        }
        /* One byte stays free for the end of the last line. */
        got = fread(file->data + file->length, 1, capacity - file->length - 1, stream);
    } while (got > 0);
    int error = ferror(stream) ? errno : 0;
    fclose(stream);
    if (error != 0) return fail(GPT4ALL_ERROR_MODEL_LOAD, "%s: %s", path, strerror(error));
    return GPT4ALL_OK;
}

static bool known_kv_type(const char *type) {
    static const char *const types[] = {"f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "iq4_nl", "q5_0", "q5_1"};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (strcmp(type, types[i]) == 0) return true;
    return false;
}

static gpt4all_status check_threads(int32_t n_threads, int32_t n_threads_batch) {
    const gpt4all_status bad = GPT4ALL_ERROR_INVALID_ARGUMENT;
    if (n_threads < 1 || n_threads > MOST_THREADS)
        return fail(bad, "n_threads %d is not from 1 to %d", (int)n_threads, (int)MOST_THREADS);
    if (n_threads_batch < 1 || n_threads_batch > MOST_THREADS)
        return fail(bad, "n_threads_batch %d is not from 1 to %d", (int)n_threads_batch, (int)MOST_THREADS);
    return GPT4ALL_OK;
}

static gpt4all_status check_load_options(const gpt4all_load_options *options) {
    const gpt4all_status bad = GPT4ALL_ERROR_INVALID_ARGUMENT;
    if (options->n_ctx < 0 || (options->n_ctx > 0 && options->n_ctx < SMALLEST_CONTEXT))
        return fail(bad, "n_ctx %d is neither 0 nor at least %d", (int)options->n_ctx, (int)SMALLEST_CONTEXT);
    if (options->n_batch < 1) return fail(bad, "n_batch %d is less than 1", (int)options->n_batch);
    if (options->n_gpu_layers < 0) return fail(bad, "n_gpu_layers %d is negative", (int)options->n_gpu_layers);
    if (options->flash_attention < -1 || options->flash_attention > 1)
        return fail(bad, "flash_attention %d is not -1, 0 or 1", (int)options->flash_attention);
    if (options->kv_type != NULL && !known_kv_type(options->kv_type))
        return fail(bad, "kv_type '%s' is unknown", options->kv_type);
    if (options->n_tensor_split < 0 || (options->n_tensor_split > 0 && options->tensor_split == NULL))
        return fail(bad, "tensor_split does not have its %lld numbers", (long long)options->n_tensor_split);
    gpt4all_status status = check_threads(options->n_threads, options->n_threads_batch);
    if (status != GPT4ALL_OK) return status;
    if (options->prefix_cache_bytes < 0)
        return fail(bad, "prefix_cache_bytes %lld is negative", (long long)options->prefix_cache_bytes);
    if (options->main_gpu < 0) return fail(bad, "main_gpu %d is negative", (int)options->main_gpu);
    status = check_device_index("device", options->device, -1);
    if (status != GPT4ALL_OK) return status;
    const char *problem = split_problem(devices, N_DEVICES, options);
    return problem == NULL ? GPT4ALL_OK : fail(bad, "%s", problem);
}

static void destroy(gpt4all_model *model) {
    while (model->displaced != NULL) {
        displaced_context *context = model->displaced;
        model->displaced = context->next;
        free(context);
    }
    free(model->memory);
    free(model->steps);
    free(model->tokens);
    free(model->file);
    free(model);
}

static gpt4all_model *create(void) {
    static char nothing[1];
    gpt4all_model *model = calloc(1, sizeof *model);
    if (model == NULL) return NULL;
    model->architecture = model->name = model->description = model->quantization = model->chat_template = nothing;
    model->n_ctx_train = 2048;
    model->n_embd = 64;
    model->n_layer = 2;
    model->n_params = 1000;
    model->weights_bytes = 4000;
    model->context_bytes = 1024;
    model->compute_bytes = 4096;
    model->add_bos = 1;
    model->basename = nothing;
    model->pooling = GPT4ALL_POOLING_MEAN;
    model->batch_texts = 2;
    model->wait_cancel_after = model->wait_cancel_in_prompt = model->wait_cancel_in_batch = -1;
    model->progress_steps = 4;
    model->traits = GPT4ALL_TRAIT_DECODER | GPT4ALL_TRAIT_CAN_SHIFT;
    model->next_token = -1;
    for (int byte = 0; byte < 256; byte++) model->byte_texts[byte] = (char)byte;
    return model;
}

static gpt4all_status report_progress(const gpt4all_model *model, const gpt4all_load_options *options) {
    if (options->progress == NULL || model->progress_steps == 0) return GPT4ALL_OK;
    for (int64_t step = 0; step <= model->progress_steps; step++)
        if (options->progress((float)step / (float)model->progress_steps, options->progress_payload) != 0)
            return fail(GPT4ALL_ERROR_CANCELLED, "the progress callback stopped the load");
    return GPT4ALL_OK;
}

static void log_load(const gpt4all_model *model, const char *path, const gpt4all_load_options *o) {
    if (!model->log_calls) return;
    log_call("load n_ctx=%d n_batch=%d n_threads=%d n_threads_batch=%d n_gpu_layers=%d device=%d main_gpu=%d "
             "flash_attention=%d use_mmap=%d kv_type=%s n_tensor_split=%lld prefix_cache_bytes=%lld path=%s",
             (int)o->n_ctx, (int)o->n_batch, (int)o->n_threads, (int)o->n_threads_batch, (int)o->n_gpu_layers,
             (int)o->device, (int)o->main_gpu, (int)o->flash_attention, (int)o->use_mmap,
             o->kv_type == NULL ? "-" : o->kv_type, (long long)o->n_tensor_split, (long long)o->prefix_cache_bytes,
             path);
}

static gpt4all_status read_model(gpt4all_model *model, const char *path, const gpt4all_load_options *options) {
    bytes file = {NULL, 0};
    gpt4all_status status = read_file(path, &file);
    model->file = file.data;
    if (status == GPT4ALL_OK) status = parse_script(model, path, &file);
    if (status != GPT4ALL_OK) return status;
    model->n_ctx = options->n_ctx == 0 ? (int32_t)model->n_ctx_train : options->n_ctx;
    model->placed = place_layers(devices, N_DEVICES, options, (int32_t)model->n_layer + 1);
    return GPT4ALL_OK;
}

static gpt4all_status load_into(gpt4all_model *model, const char *path, const gpt4all_load_options *options) {
    gpt4all_status status = read_model(model, path, options);
    if (status != GPT4ALL_OK) return status;
    log_load(model, path, options);
    status = report_progress(model, options);
    if (status != GPT4ALL_OK) return status;
    if (FAKE_LOAD_STATUS != GPT4ALL_OK) return fail(FAKE_LOAD_STATUS, "this fake was compiled to fail here");
    if (model->load_failure.status != GPT4ALL_OK)
        return fail(model->load_failure.status, "%s", model->load_failure.message);
    model->n_batch = options->n_batch;
    model->displaced_budget = options->prefix_cache_bytes;
    model->memory = malloc((size_t)model->n_ctx * sizeof *model->memory);
    return model->memory == NULL ? out_of_memory() : GPT4ALL_OK;
}

gpt4all_status gpt4all_model_load(const char *path, const gpt4all_load_options *options, gpt4all_model **model) {
    gpt4all_load_options known = load_defaults;
    forget_error();
    if (path == NULL) return null_argument("path");
    if (model == NULL) return null_argument("model");
    *model = NULL;
    gpt4all_status status = read_struct(&known, sizeof known, options, "options");
    if (status == GPT4ALL_OK) status = need_init();
    if (status == GPT4ALL_OK) status = check_load_options(&known);
    if (status != GPT4ALL_OK) return status;
    gpt4all_model *loaded = create();
    if (loaded == NULL) return out_of_memory();
    status = load_into(loaded, path, &known);
    if (status == GPT4ALL_OK)
        *model = loaded;
    else
        destroy(loaded);
    return status;
}

static gpt4all_memory_need need_on(const gpt4all_model *model, int32_t device) {
    const model_sizes sizes = {model->weights_bytes, model->context_bytes * model->n_ctx, model->compute_bytes};
    return need_of(&model->placed, &sizes, device, &devices[device < 0 ? 0 : device]);
}

gpt4all_status gpt4all_model_memory(const char *path, const gpt4all_load_options *options, gpt4all_memory_need *needs,
                                    int32_t capacity, int32_t *count) {
    gpt4all_load_options known = load_defaults;
    forget_error();
    if (path == NULL) return null_argument("path");
    if (count == NULL) return null_argument("count");
    if (capacity < 0) return fail(GPT4ALL_ERROR_INVALID_ARGUMENT, "capacity %d is negative", (int)capacity);
    if (needs == NULL && capacity > 0) return null_argument("needs");
    gpt4all_status status = read_struct(&known, sizeof known, options, "options");
    if (status == GPT4ALL_OK) status = need_init();
    if (status == GPT4ALL_OK) status = check_load_options(&known);
    if (status != GPT4ALL_OK) return status;
    gpt4all_model *model = create();
    if (model == NULL) return out_of_memory();
    status = read_model(model, path, &known);
    if (status == GPT4ALL_OK && model->log_calls)
        log_call("memory n_ctx=%d n_gpu_layers=%d device=%d", (int)known.n_ctx, (int)known.n_gpu_layers,
                 (int)known.device);
    if (status == GPT4ALL_OK) {
        int32_t n = 0;
        for (int32_t device = -1; device < N_DEVICES; device++) {
            if (device >= 0 && model->placed.layers[device] == 0) continue;
            if (n < capacity) needs[n] = need_on(model, device);
            n++;
        }
        *count = n;
        if (n > capacity) status = fail(GPT4ALL_ERROR_BUFFER_TOO_SMALL, "needs holds %d of %d", (int)capacity, (int)n);
    }
    destroy(model);
    return status;
}

/* The context belongs to one call at a time. */
static gpt4all_status occupy(gpt4all_model *model) {
    int idle = 0;
    if (atomic_compare_exchange_strong(&model->busy, &idle, 1)) return GPT4ALL_OK;
    return fail(GPT4ALL_ERROR_BUSY, "another call is using the model");
}

static void release(gpt4all_model *model) { atomic_store(&model->busy, 0); }

gpt4all_status gpt4all_model_free(gpt4all_model *model) {
    forget_error();
    if (model == NULL) return GPT4ALL_OK;
    gpt4all_status status = occupy(model);
    if (status == GPT4ALL_OK) destroy(model);
    return status;
}

gpt4all_status gpt4all_model_get_info(const gpt4all_model *model, gpt4all_model_info *info) {
    forget_error();
    if (model == NULL) return null_argument("model");
    gpt4all_status status = check_struct(info, sizeof *info, "info");
    if (status != GPT4ALL_OK) return status;
    gpt4all_model_info known;
    memset(&known, 0, sizeof known);
    known.traits = model->traits;
    known.n_ctx = model->n_ctx;
    known.n_ctx_train = (int32_t)model->n_ctx_train;
    known.n_vocab = (int32_t)model->n_vocab;
    known.n_embd = (int32_t)model->n_embd;
    known.n_layer = (int32_t)model->n_layer;
    known.token_bos = TOKEN_BEGIN;
    known.token_eos = TOKEN_END;
    known.add_bos = (int32_t)model->add_bos;
    known.n_params = model->n_params;
    known.weights_bytes = model->weights_bytes;
    known.architecture = model->architecture;
    known.description = model->description;
    known.quantization = model->quantization;
    known.name = model->name;
    known.chat_template = model->chat_template;
    known.n_layers_offloaded = model->placed.n_offloaded;
    known.device = model->placed.device;
    for (int32_t device = 0; device < N_DEVICES; device++) {
        const gpt4all_memory_need need = need_on(model, device);
        known.device_bytes += need.weights + need.context + need.compute;
    }
    known.n_embd_out = (int32_t)model->n_embd;
    known.pooling = (model->traits & GPT4ALL_TRAIT_EMBEDDING) ? (int32_t)model->pooling : GPT4ALL_POOLING_NONE;
    known.wordpiece = (int32_t)model->wordpiece;
    known.basename = model->basename;
    write_struct(info, &known, sizeof known);
    return GPT4ALL_OK;
}

gpt4all_status gpt4all_model_set_threads(gpt4all_model *model, int32_t n_threads, int32_t n_threads_batch) {
    forget_error();
    if (model == NULL) return null_argument("model");
    gpt4all_status status = check_threads(n_threads, n_threads_batch);
    if (status == GPT4ALL_OK) status = occupy(model);
    if (status != GPT4ALL_OK) return status;
    if (model->log_calls) log_call("set_threads n_threads=%d n_threads_batch=%d", (int)n_threads, (int)n_threads_batch);
    release(model);
    return GPT4ALL_OK;
}

/* Text */

static text_view text_of_token(const gpt4all_model *model, int32_t token) {
    static const char begin[] = "<|begin|>", end[] = "<|end|>", unknown[] = "<|unk|>";
    if (token == TOKEN_BEGIN) return (text_view){begin, sizeof begin - 1};
    if (token == TOKEN_END) return (text_view){end, sizeof end - 1};
    if (token >= TOKEN_FIRST_SCRIPTED && token - TOKEN_FIRST_SCRIPTED < (int64_t)model->n_tokens)
        return model->tokens[token - TOKEN_FIRST_SCRIPTED].text;
    if (token >= TOKEN_FIRST_BYTE && token < TOKEN_FIRST_SCRIPTED)
        return (text_view){&model->byte_texts[token - TOKEN_FIRST_BYTE], 1};
    return (text_view){unknown, sizeof unknown - 1};
}

static bool is_control(const gpt4all_model *model, int32_t token) {
    if (token < TOKEN_FIRST_BYTE) return true;
    int64_t index = (int64_t)token - TOKEN_FIRST_SCRIPTED;
    return index >= 0 && index < (int64_t)model->n_tokens && model->tokens[index].control;
}

/* The longest control token written at the start of `text`, or -1. */
static int32_t control_token_at(const gpt4all_model *model, text_view text) {
    const int32_t end = TOKEN_FIRST_SCRIPTED + (int32_t)model->n_tokens;
    int32_t found = -1;
    size_t longest = 0;
    for (int32_t token = 0; token < end; token++) {
        if (token == TOKEN_FIRST_BYTE) token = TOKEN_FIRST_SCRIPTED;
        if (token >= end || !is_control(model, token)) continue;
        text_view name = text_of_token(model, token);
        if (name.length <= longest || name.length > text.length) continue;
        if (memcmp(name.data, text.data, name.length) != 0) continue;
        found = token;
        longest = name.length;
    }
    return found;
}

static gpt4all_status check_tokens(const gpt4all_model *model, const int32_t *tokens, int32_t n_tokens) {
    if (n_tokens < 0) return fail(GPT4ALL_ERROR_INVALID_ARGUMENT, "n_tokens %d is negative", (int)n_tokens);
    if (tokens == NULL && n_tokens > 0) return null_argument("tokens");
    for (int32_t i = 0; i < n_tokens; i++)
        if (tokens[i] < 0 || tokens[i] >= model->n_vocab)
            return fail(GPT4ALL_ERROR_INVALID_ARGUMENT, "tokens[%d] is %d, outside the vocabulary of %lld", (int)i,
                        (int)tokens[i], (long long)model->n_vocab);
    return GPT4ALL_OK;
}

/* Ids that go to the caller's buffer as far as they fit. */
typedef struct token_sink {
    int32_t *tokens;
    int32_t capacity;
    int32_t n;
} token_sink;

static void put_token(token_sink *sink, int32_t token) {
    if (sink->n < sink->capacity) sink->tokens[sink->n] = token;
    sink->n++;
}

static void put_text(const gpt4all_model *model, token_sink *sink, text_view text, bool parse_special) {
    for (size_t at = 0; at < text.length;) {
        int32_t token = -1;
        if (parse_special) token = control_token_at(model, (text_view){text.data + at, text.length - at});
        if (token < 0) token = TOKEN_FIRST_BYTE + (unsigned char)text.data[at];
        at += text_of_token(model, token).length;
        put_token(sink, token);
    }
}

static bool is_set(const int32_t *flag) { return flag != NULL && __atomic_load_n(flag, __ATOMIC_RELAXED) != 0; }

static gpt4all_status check_token_buffer(const gpt4all_model *model, const int32_t *tokens, int32_t capacity,
                                         const int32_t *count) {
    if (model == NULL) return null_argument("model");
    if (count == NULL) return null_argument("count");
    if (tokens == NULL && capacity > 0) return null_argument("tokens");
    if (capacity < 0) return fail(GPT4ALL_ERROR_INVALID_ARGUMENT, "capacity %d is negative", (int)capacity);
    return GPT4ALL_OK;
}

static gpt4all_status finish_tokens(const token_sink *sink, int32_t *count) {
    *count = sink->n;
    if (sink->n <= sink->capacity) return GPT4ALL_OK;
    return fail(GPT4ALL_ERROR_BUFFER_TOO_SMALL, "%d tokens do not fit a buffer of %d", (int)sink->n,
                (int)sink->capacity);
}

gpt4all_status gpt4all_tokenize(const gpt4all_model *model, const char *text, int64_t text_len, int32_t flags,
                                const int32_t *cancel, int32_t *tokens, int32_t capacity, int32_t *count) {
    const int32_t known_flags = GPT4ALL_TOKENIZE_ADD_SPECIAL | GPT4ALL_TOKENIZE_PARSE_SPECIAL;
    forget_error();
    gpt4all_status status = check_token_buffer(model, tokens, capacity, count);
    if (status != GPT4ALL_OK) return status;
    if (text == NULL && text_len > 0) return null_argument("text");
    if (text_len < 0 || text_len >= INT32_MAX)
        return fail(GPT4ALL_ERROR_INVALID_ARGUMENT, "text_len %lld is out of range", (long long)text_len);
    if ((flags & ~known_flags) != 0) return fail(GPT4ALL_ERROR_INVALID_ARGUMENT, "flags %d are unknown", (int)flags);

    if (is_set(cancel)) return fail(GPT4ALL_ERROR_CANCELLED, "tokenising was cancelled");
    token_sink sink = {tokens, capacity, 0};
    if ((flags & GPT4ALL_TOKENIZE_ADD_SPECIAL) && model->add_bos) put_token(&sink, TOKEN_BEGIN);
    put_text(model, &sink, (text_view){text, (size_t)text_len}, (flags & GPT4ALL_TOKENIZE_PARSE_SPECIAL) != 0);
    return finish_tokens(&sink, count);
}

static gpt4all_status check_parts(const gpt4all_text_part *parts, int64_t n_parts) {
    const gpt4all_status bad = GPT4ALL_ERROR_INVALID_ARGUMENT;
    int64_t total = 0;
    if (n_parts < 0) return fail(bad, "n_parts %lld is negative", (long long)n_parts);
    if (parts == NULL && n_parts > 0) return null_argument("parts");
    for (int64_t i = 0; i < n_parts; i++) {
        if (parts[i].length < 0 || parts[i].length >= INT32_MAX - total)
            return fail(bad, "parts[%lld].length %lld is out of range", (long long)i, (long long)parts[i].length);
        if (parts[i].data == NULL && parts[i].length > 0)
            return fail(bad, "parts[%lld].data must not be NULL", (long long)i);
        if (parts[i].reserved != 0) return fail(bad, "parts[%lld].reserved is not 0", (long long)i);
        total += parts[i].length;
    }
    return GPT4ALL_OK;
}

gpt4all_status gpt4all_tokenize_parts(const gpt4all_model *model, const gpt4all_text_part *parts, int64_t n_parts,
                                      int32_t flags, const int32_t *cancel, int32_t *tokens, int32_t capacity,
                                      int32_t *count) {
    forget_error();
    gpt4all_status status = check_token_buffer(model, tokens, capacity, count);
    if (status == GPT4ALL_OK) status = check_parts(parts, n_parts);
    if (status != GPT4ALL_OK) return status;
    if ((flags & ~GPT4ALL_TOKENIZE_ADD_SPECIAL) != 0)
        return fail(GPT4ALL_ERROR_INVALID_ARGUMENT, "flags %d are unknown", (int)flags);

    if (is_set(cancel)) return fail(GPT4ALL_ERROR_CANCELLED, "tokenising was cancelled");
    token_sink sink = {tokens, capacity, 0};
    if ((flags & GPT4ALL_TOKENIZE_ADD_SPECIAL) && model->add_bos) put_token(&sink, TOKEN_BEGIN);
    for (int64_t i = 0; i < n_parts; i++)
        put_text(model, &sink, (text_view){parts[i].data, (size_t)parts[i].length}, parts[i].parse_special != 0);
    return finish_tokens(&sink, count);
}

gpt4all_status gpt4all_detokenize(const gpt4all_model *model, const int32_t *tokens, int32_t n_tokens, char *text,
                                  int64_t capacity, int64_t *length) {
    forget_error();
    if (model == NULL) return null_argument("model");
    if (length == NULL) return null_argument("length");
    if (text == NULL && capacity > 0) return null_argument("text");
    if (capacity < 0) return fail(GPT4ALL_ERROR_INVALID_ARGUMENT, "capacity %lld is negative", (long long)capacity);
    gpt4all_status status = check_tokens(model, tokens, n_tokens);
    if (status != GPT4ALL_OK) return status;
    int64_t n = 0;
    for (int32_t i = 0; i < n_tokens; i++) {
        text_view piece = text_of_token(model, tokens[i]);
        if (n + (int64_t)piece.length <= capacity) memcpy(text + n, piece.data, piece.length);
        n += (int64_t)piece.length;
    }
    *length = n;
    if (n <= capacity) return GPT4ALL_OK;
    return fail(GPT4ALL_ERROR_BUFFER_TOO_SMALL, "%lld bytes do not fit a buffer of %lld", (long long)n,
                (long long)capacity);
}

/* Chat */

static gpt4all_status check_template(const char *text) {
    static const char refusal[] = "raise_exception('";
    const char *at = strstr(text, refusal), *block = strstr(text, "{%");
    if (strcmp(text, "broken") == 0 || (block != NULL && strstr(block, "%}") == NULL))
        return fail(GPT4ALL_ERROR_TEMPLATE, "the chat template is broken: a block has no end");
    if (at == NULL) return GPT4ALL_OK;
    at += sizeof refusal - 1;
    return fail(GPT4ALL_ERROR_TEMPLATE, "the chat template refuses the conversation: %.*s", (int)strcspn(at, "'"), at);
}

gpt4all_status gpt4all_chat_render(const gpt4all_model *model, const char *chat_template, const char *messages_json,
                                   const char *args_json, int32_t add_generation_prompt, const int32_t *cancel,
                                   gpt4all_part_callback callback, void *payload) {
    forget_error();
    if (model == NULL) return null_argument("model");
    if (messages_json == NULL) return null_argument("messages_json");
    if (callback == NULL) return null_argument("callback");
    bool thinks = true;
    if (!read_messages(messages_json, NULL))
        return fail(GPT4ALL_ERROR_INVALID_ARGUMENT, "messages_json is no list of messages");
    if (!read_args(args_json, &thinks)) return fail(GPT4ALL_ERROR_INVALID_ARGUMENT, "args_json is no object");
    const char *template = chat_template == NULL ? model->chat_template : chat_template;
    if (template == NULL || (chat_template == NULL && *template == '\0'))
        return fail(GPT4ALL_ERROR_TEMPLATE, "the model brings no chat template");
    gpt4all_status status = check_template(template);
    if (status != GPT4ALL_OK) return status;
    if (is_set(cancel)) return fail(GPT4ALL_ERROR_CANCELLED, "the call was stopped");

    part_sink sink = {callback, payload, false};
    if (!read_messages(messages_json, &sink)) return out_of_memory();
    if (add_generation_prompt == 0) return GPT4ALL_OK;
    send_text(&sink, thinks && strstr(template, "<think>") != NULL ? "[assistant]<think>\n" : "[assistant]");
    return GPT4ALL_OK;
}

/* Generation: one call's state */

typedef struct generation {
    gpt4all_model *model;
    gpt4all_generate_options options;
    gpt4all_generate_result result;
    gpt4all_token_callback callback;
    void *payload;
    int32_t *plan; /* what this call's turn generates; repeated when it is over */
    size_t n_plan;
    char *held; /* text that is not delivered yet */
    size_t n_held, held_capacity;
    bool done;
    bool refused; /* a callback wanted no more */
} generation;

static int64_t now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* Waits in slices; true when the flag was set meanwhile. */
static bool pause_unless(const int32_t *flag, int64_t duration_us) {
    const int64_t end = now_us() + duration_us;
    while (!is_set(flag)) {
        int64_t left = duration_us > 0 ? end - now_us() : 0;
        if (left <= 0) return false;
        struct timespec slice = {0, (long)(left < POLL_US ? left : POLL_US) * 1000};
        nanosleep(&slice, NULL);
    }
    return true;
}

static bool pause_or_cancel(const generation *g, int64_t duration_us) {
    return pause_unless(g->options.cancel, duration_us);
}

static gpt4all_status wait_for_flag(const int32_t *flag) {
    static const char waiting[] = "waiting for the cancel flag";
    log_bytes(GPT4ALL_LOG_DEBUG, waiting, sizeof waiting - 1);
    if (pause_unless(flag, GATE_LIMIT_US)) return GPT4ALL_OK;
    return fail(GPT4ALL_ERROR_INTERNAL, "the script waits for the cancel flag, but nobody has set it");
}

static gpt4all_status wait_for_cancel(const generation *g) { return wait_for_flag(g->options.cancel); }

static void finish(generation *g, int32_t reason) {
    g->result.finish_reason = reason;
    g->done = true;
}

/* Generation: checks */

static gpt4all_status check_stops(const gpt4all_generate_options *o) {
    const gpt4all_status bad = GPT4ALL_ERROR_INVALID_ARGUMENT;
    if (o->n_stop < 0) return fail(bad, "n_stop %lld is negative", (long long)o->n_stop);
    if (o->n_stop > 0 && o->stop == NULL) return null_argument("stop");
    for (int64_t i = 0; i < o->n_stop; i++)
        if (o->stop[i].data == NULL || o->stop[i].length < 1) return fail(bad, "stop[%lld] is empty", (long long)i);
    return GPT4ALL_OK;
}

static gpt4all_status check_biases(const gpt4all_model *model, const gpt4all_generate_options *o) {
    const gpt4all_status bad = GPT4ALL_ERROR_INVALID_ARGUMENT;
    if (o->n_logit_bias < 0) return fail(bad, "n_logit_bias %lld is negative", (long long)o->n_logit_bias);
    if (o->n_logit_bias > 0 && o->logit_bias == NULL) return null_argument("logit_bias");
    for (int64_t i = 0; i < o->n_logit_bias; i++) {
        const gpt4all_token_bias *bias = &o->logit_bias[i];
        if (bias->token < 0 || bias->token >= model->n_vocab)
            return fail(bad, "logit_bias[%lld] is of token %d, outside the vocabulary of %lld", (long long)i,
                        (int)bias->token, (long long)model->n_vocab);
        if (isnan(bias->bias) || (isinf(bias->bias) && bias->bias > 0.0F))
            return fail(bad, "logit_bias[%lld] is no number below infinity", (long long)i);
    }
    return GPT4ALL_OK;
}

/* A grammar is not followed, as the script says what is generated; only that it has a root is checked. */
static gpt4all_status check_grammar(const char *grammar, int64_t length) {
    static const char root[] = "root ::=";
    const size_t root_length = sizeof root - 1;
    if (length < 0) return fail(GPT4ALL_ERROR_INVALID_ARGUMENT, "grammar_len %lld is negative", (long long)length);
    for (size_t at = 0; at + root_length <= (size_t)length; at++)
        if (memcmp(grammar + at, root, root_length) == 0 && (at == 0 || grammar[at - 1] == '\n')) return GPT4ALL_OK;
    return fail(GPT4ALL_ERROR_INVALID_ARGUMENT, "grammar: it has no rule 'root'");
}

gpt4all_status gpt4all_grammar_check(const gpt4all_model *model, const char *grammar, int64_t grammar_len) {
    forget_error();
    if (model == NULL) return null_argument("model");
    if (grammar == NULL) return null_argument("grammar");
    return check_grammar(grammar, grammar_len);
}

static int64_t length_of(const gpt4all_string *text) { return text == NULL ? 0 : text->length; }

static gpt4all_status check_constraints(const gpt4all_model *model, const gpt4all_generate_options *o) {
    const gpt4all_status bad = GPT4ALL_ERROR_INVALID_ARGUMENT;
    gpt4all_status status = check_biases(model, o);
    if (status != GPT4ALL_OK) return status;
    if (length_of(o->thinking_open) > 0 && length_of(o->thinking_close) == 0)
        return fail(bad, "thinking_open needs a thinking_close");
    if (o->n_top_logprobs < 0 || o->n_top_logprobs > MOST_TOP_LOGPROBS)
        return fail(bad, "n_top_logprobs %d is not from 0 to %d", (int)o->n_top_logprobs, (int)MOST_TOP_LOGPROBS);
    if (o->reserved != 0) return fail(bad, "reserved is not 0");
    return o->grammar == NULL ? GPT4ALL_OK : check_grammar(o->grammar->data, o->grammar->length);
}

static gpt4all_status check_generate_options(const gpt4all_generate_options *o) {
    const gpt4all_status bad = GPT4ALL_ERROR_INVALID_ARGUMENT;
    if (o->max_tokens < 0) return fail(bad, "max_tokens %d is negative", (int)o->max_tokens);
    if (o->n_batch < 1) return fail(bad, "n_batch %d is less than 1", (int)o->n_batch);
    if (!(o->temperature >= 0.0F) || isinf(o->temperature))
        return fail(bad, "temperature %g is not a number from 0", (double)o->temperature);
    if (isnan(o->top_p)) return fail(bad, "top_p is not a number");
    if (!(o->min_p >= 0.0F && o->min_p <= 1.0F)) return fail(bad, "min_p %g is not from 0 to 1", (double)o->min_p);
    if (!(o->repeat_penalty > 0.0F) || isinf(o->repeat_penalty))
        return fail(bad, "repeat_penalty %g is not a number above 0", (double)o->repeat_penalty);
    if (o->repeat_last_n < -1) return fail(bad, "repeat_last_n %d is less than -1", (int)o->repeat_last_n);
    if (o->n_keep < 0) return fail(bad, "n_keep %d is negative", (int)o->n_keep);
    return check_stops(o);
}

static gpt4all_status check_prompt(const gpt4all_model *model, const int32_t *tokens, int32_t n_tokens) {
    if (tokens == NULL) return null_argument("tokens");
    if (n_tokens < 1) return fail(GPT4ALL_ERROR_INVALID_ARGUMENT, "n_tokens %d is less than 1", (int)n_tokens);
    if (!(model->traits & GPT4ALL_TRAIT_DECODER) ||
        (model->traits & (GPT4ALL_TRAIT_EMBEDDING | GPT4ALL_TRAIT_DIFFUSION)))
        return fail(GPT4ALL_ERROR_UNSUPPORTED_MODEL, "this model cannot generate text");
    if (n_tokens > model->n_ctx - CONTEXT_RESERVE)
        return fail(GPT4ALL_ERROR_CONTEXT_OVERFLOW, "the prompt has %d tokens, but n_ctx %d takes at most %d",
                    (int)n_tokens, (int)model->n_ctx, (int)(model->n_ctx - CONTEXT_RESERVE));
    return check_tokens(model, tokens, n_tokens);
}

/* Generation: the script of this call */

/* Finds the steps of the model's next turn. */
static void find_turn(const gpt4all_model *model, size_t *first, size_t *end) {
    int64_t turn = 0;
    *first = 0;
    *end = model->n_steps;
    for (size_t i = 0; i < model->n_steps; i++) {
        if (model->steps[i] != STEP_TURN) continue;
        /* A `turn` ahead of all else opens the first turn and ends none. */
        if (i == 0)
            *first = 1;
        else if (turn == model->calls) {
            *end = i;
            return;
        } else {
            turn++;
            *first = i + 1;
        }
    }
}

static gpt4all_status make_plan(generation *g, const int32_t *tokens, int32_t n_tokens) {
    const gpt4all_model *model = g->model;
    size_t first, end, needed = 1;
    find_turn(model, &first, &end);
    for (size_t i = first; i < end; i++) needed += model->steps[i] == STEP_ECHO ? (size_t)n_tokens : 1;
    g->plan = malloc(needed * sizeof *g->plan);
    if (g->plan == NULL) return out_of_memory();
    for (size_t i = first; i < end; i++) {
        if (model->steps[i] != STEP_ECHO)
            g->plan[g->n_plan++] = model->steps[i];
        else
            for (int32_t t = 0; t < n_tokens; t++)
                if (!is_control(model, tokens[t])) g->plan[g->n_plan++] = tokens[t];
    }
    if (g->n_plan == 0) g->plan[g->n_plan++] = TOKEN_END;
    return GPT4ALL_OK;
}

/* Generation: the context */

static int32_t common_prefix(const int32_t *a, int32_t n_a, const int32_t *b, int32_t n_b) {
    int32_t n = 0;
    while (n < n_a && n < n_b && a[n] == b[n]) n++;
    return n;
}

/* How many leading ones of these tokens need not be computed again where n_reusable of n_held ones are as computed. */
static int32_t reusable_prefix(const gpt4all_model *model, const int32_t *held, int32_t n_held, int32_t n_reusable,
                               const int32_t *tokens, int32_t n_tokens) {
    int32_t n = common_prefix(held, n_reusable, tokens, n_tokens);
    /* A recurrent state cannot go back: it is of use as a whole or not at all. */
    return (model->traits & GPT4ALL_TRAIT_RECURRENT) && n < n_held ? 0 : n;
}

/* Takes a displaced context out of the list. */
static displaced_context *unlink_displaced(gpt4all_model *model, displaced_context **link) {
    displaced_context *context = *link;
    *link = context->next;
    model->displaced_bytes -= (int64_t)context->n * DISPLACED_TOKEN_BYTES;
    return context;
}

static displaced_context **end_of_displaced(gpt4all_model *model) {
    displaced_context **link = &model->displaced;
    while (*link != NULL) link = &(*link)->next;
    return link;
}

/* Finds the displaced context of which most of the tokens can be reused, if they are more than `beaten`. It stays where
 * it is, or, where it is continued to its end, becomes the first to be dropped: it will be stored anew. */
static const displaced_context *find_displaced(gpt4all_model *model, const int32_t *tokens, int32_t n_tokens,
                                               int32_t beaten) {
    displaced_context **best = NULL;
    for (displaced_context **link = &model->displaced; *link != NULL; link = &(*link)->next) {
        int32_t n = reusable_prefix(model, (*link)->tokens, (*link)->n, (*link)->n_reusable, tokens, n_tokens);
        if (n <= beaten) continue;
        best = link;
        beaten = n;
    }
    if (best == NULL) return NULL;
    displaced_context *found = *best;
    if (beaten == found->n) {
        *best = found->next;
        found->next = NULL;
        *end_of_displaced(model) = found;
    }
    return found;
}

/* A copy of the present context. */
static displaced_context *copy_context(const gpt4all_model *model) {
    displaced_context *context = malloc(sizeof *context + (size_t)model->n_memory * sizeof *context->tokens);
    if (context == NULL) return NULL;
    context->n = model->n_memory;
    context->n_reusable = model->n_reusable;
    memcpy(context->tokens, model->memory, (size_t)context->n * sizeof *context->tokens);
    return context;
}

/* Keeps a displaced context, at the cost of those stored longest ago. */
static void store_displaced(gpt4all_model *model, displaced_context *context) {
    const int64_t size = (int64_t)context->n * DISPLACED_TOKEN_BYTES;
    for (displaced_context **link = &model->displaced; *link != NULL;) {
        /* One that this can be taken back to has nothing to add. */
        const int32_t n = (*link)->n_reusable;
        if (reusable_prefix(model, context->tokens, context->n, context->n_reusable, (*link)->tokens, n) == n)
            free(unlink_displaced(model, link));
        else
            link = &(*link)->next;
    }
    while (model->displaced_bytes + size > model->displaced_budget) {
        displaced_context **oldest = &model->displaced;
        while ((*oldest)->next != NULL) oldest = &(*oldest)->next;
        free(unlink_displaced(model, oldest));
    }
    context->next = model->displaced;
    model->displaced = context;
    model->displaced_bytes += size;
}

/* How many leading tokens of the prompt are in the context. The last one is always computed, for its logits. */
static int32_t reusable_of_memory(const generation *g, const int32_t *tokens, int32_t n_tokens) {
    const gpt4all_model *model = g->model;
    if (!g->options.reuse_prefix) return 0;
    return reusable_prefix(model, model->memory, model->n_memory, model->n_reusable, tokens, n_tokens - 1);
}

/* Makes the context hold as much of the prompt as is known, and tells how much. */
static gpt4all_status switch_context(generation *g, const int32_t *tokens, int32_t n_tokens, int32_t *n_reused) {
    gpt4all_model *model = g->model;
    const displaced_context *found = NULL;
    displaced_context *left = NULL;
    *n_reused = reusable_of_memory(g, tokens, n_tokens);
    const int32_t worth_it = *n_reused + WORTH_COPYING;
    if (g->options.reuse_prefix) found = find_displaced(model, tokens, n_tokens - 1, worth_it);
    if (model->keep_context && model->n_reusable >= worth_it &&
        (int64_t)model->n_memory * DISPLACED_TOKEN_BYTES <= model->displaced_budget) {
        left = copy_context(model);
        if (left == NULL) return out_of_memory();
    }
    if (found != NULL) {
        model->n_memory = found->n;
        model->n_reusable = found->n_reusable;
        memcpy(model->memory, found->tokens, (size_t)found->n * sizeof *found->tokens);
        *n_reused = reusable_of_memory(g, tokens, n_tokens);
    }
    if (left != NULL) store_displaced(model, left);
    return GPT4ALL_OK;
}

/* Drops the older half of what need not be kept. */
static void shift_context(generation *g) {
    gpt4all_model *model = g->model;
    int32_t keep = g->options.n_keep < g->result.prompt_tokens ? g->options.n_keep : g->result.prompt_tokens;
    int32_t dropped = (model->n_memory - keep) / 2;
    model->n_memory -= dropped;
    memmove(model->memory + keep, model->memory + keep + dropped,
            (size_t)(model->n_memory - keep) * sizeof *model->memory);
    /* Shifted tokens were computed in sight of some that are gone; a memory
     * that cannot shift has computed them again. */
    if (!(model->traits & GPT4ALL_TRAIT_CAN_SHIFT))
        model->n_reusable = model->n_memory;
    else if (model->n_reusable > keep)
        model->n_reusable = keep;
    g->result.context_shifts++;
}

static void store_token(generation *g, int32_t token) {
    gpt4all_model *model = g->model;
    if (model->n_memory == model->n_ctx) shift_context(g);
    if (model->n_reusable == model->n_memory) model->n_reusable++;
    model->memory[model->n_memory++] = token;
}

static gpt4all_status compute_prompt(generation *g, const int32_t *tokens, int32_t n_tokens) {
    gpt4all_model *model = g->model;
    int32_t n_batch = g->options.n_batch < model->n_batch ? g->options.n_batch : model->n_batch;
    gpt4all_status status = switch_context(g, tokens, n_tokens, &g->result.cached_tokens);
    if (status != GPT4ALL_OK) return status;
    model->keep_context = g->options.keep_context != 0;
    model->n_memory = model->n_reusable = g->result.cached_tokens;
    model->next_token = -1;
    for (int64_t batch = 0; model->n_memory < n_tokens; batch++) {
        status = batch == model->wait_cancel_in_prompt ? wait_for_cancel(g) : GPT4ALL_OK;
        if (status != GPT4ALL_OK) return status;
        if (pause_or_cancel(g, model->prompt_delay_us)) {
            finish(g, GPT4ALL_FINISH_CANCELLED);
            return GPT4ALL_OK;
        }
        for (int32_t i = 0; i < n_batch && model->n_memory < n_tokens; i++) store_token(g, tokens[model->n_memory]);
    }
    model->next_token = g->plan[0];
    return GPT4ALL_OK;
}

/* Generation: text */

/* How many bytes at the end begin a character that later bytes can complete. */
static size_t unfinished_character(const char *text, size_t length) {
    for (size_t back = 1; back <= 3 && back <= length; back++) {
        const unsigned char *at = (const unsigned char *)text + length - back;
        if ((at[0] & 0xC0) == 0x80) continue;
        size_t needed = at[0] < 0xC2 || at[0] > 0xF4 ? 1 : at[0] < 0xE0 ? 2 : at[0] < 0xF0 ? 3 : 4;
        if (needed <= back) return 0;
        /* Overlong forms, surrogates and what lies above U+10FFFF show in the second byte. */
        if (back > 1 && ((at[0] == 0xE0 && at[1] < 0xA0) || (at[0] == 0xED && at[1] > 0x9F) ||
                         (at[0] == 0xF0 && at[1] < 0x90) || (at[0] == 0xF4 && at[1] > 0x8F)))
            return 0;
        return back;
    }
    return 0;
}

/* The stop string that is complete first, so that the answer does not depend
 * on how the text is cut into tokens; of two that end together, the longer. */
static bool find_stop(const generation *g, size_t *start) {
    for (size_t end = 1; end <= g->n_held; end++) {
        size_t longest = 0;
        for (int64_t i = 0; i < g->options.n_stop; i++) {
            text_view stop = {g->options.stop[i].data, (size_t)g->options.stop[i].length};
            if (stop.length > longest && stop.length <= end &&
                memcmp(g->held + end - stop.length, stop.data, stop.length) == 0)
                longest = stop.length;
        }
        if (longest > 0) {
            *start = end - longest;
            return true;
        }
    }
    return false;
}

/* How many bytes at the end may be the beginning of a stop string. */
static size_t unfinished_stop(const generation *g) {
    size_t longest = 0;
    for (int64_t i = 0; i < g->options.n_stop; i++) {
        size_t length = (size_t)g->options.stop[i].length - 1;
        if (length > g->n_held) length = g->n_held;
        for (; length > longest; length--)
            if (memcmp(g->held + g->n_held - length, g->options.stop[i].data, length) == 0) longest = length;
    }
    return longest;
}

static gpt4all_status hold_text(generation *g, text_view text) {
    if (g->held_capacity - g->n_held < text.length) {
        size_t capacity = 2 * (g->n_held + text.length);
        char *larger = realloc(g->held, capacity);
        if (larger == NULL) return out_of_memory();
        g->held = larger;
        g->held_capacity = capacity;
    }
    if (text.length > 0) memcpy(g->held + g->n_held, text.data, text.length);
    g->n_held += text.length;
    return GPT4ALL_OK;
}

static void refuse(generation *g) {
    g->refused = true;
    finish(g, GPT4ALL_FINISH_CANCELLED);
}

static void deliver(generation *g, int32_t token, size_t length) {
    if (g->callback != NULL && g->callback(token, length > 0 ? g->held : "", (int64_t)length, g->payload) != 0)
        refuse(g);
    g->n_held -= length;
    if (g->n_held > 0) memmove(g->held, g->held + length, g->n_held);
}

/* The token of the script has probability 1/2, the one with the next id 1/4, and so on. */
static bool report_logprobs(const generation *g, int32_t token) {
    gpt4all_token_logprob entries[MOST_TOP_LOGPROBS + 1];
    int32_t n_top = g->options.n_top_logprobs;
    if (g->options.logprobs == NULL) return true;
    if (n_top > g->model->n_vocab) n_top = (int32_t)g->model->n_vocab;
    for (int32_t i = 0; i <= n_top; i++) {
        const int32_t id = (int32_t)((token + i) % g->model->n_vocab);
        const text_view text = text_of_token(g->model, id);
        entries[i] = (gpt4all_token_logprob){id, -0.69314718F * (float)(i + 1), text.data, (int64_t)text.length};
    }
    return g->options.logprobs(&entries[0], entries, n_top, g->options.logprobs_payload) == 0;
}

/* Hands on what is safe of the held text with one more token's. */
static gpt4all_status take_token(generation *g, int32_t token) {
    if (!report_logprobs(g, token)) {
        refuse(g);
        return GPT4ALL_OK;
    }
    gpt4all_status status = hold_text(g, text_of_token(g->model, token));
    if (status != GPT4ALL_OK) return status;
    g->result.completion_tokens++;
    size_t length;
    if (find_stop(g, &length))
        finish(g, GPT4ALL_FINISH_STOP);
    else if (g->result.completion_tokens == g->options.max_tokens) {
        length = g->n_held;
        finish(g, GPT4ALL_FINISH_LENGTH);
    } else {
        length = g->n_held - unfinished_stop(g);
        length -= unfinished_character(g->held, length);
    }
    deliver(g, token, length);
    return GPT4ALL_OK;
}

/* Generation: the loop */

static gpt4all_status generate_token(generation *g, int32_t *previous) {
    gpt4all_model *model = g->model;
    const int64_t position = g->result.completion_tokens;
    gpt4all_status status = position == model->wait_cancel_after ? wait_for_cancel(g) : GPT4ALL_OK;
    if (status != GPT4ALL_OK) return status;
    if (pause_or_cancel(g, model->delay_us)) {
        finish(g, GPT4ALL_FINISH_CANCELLED);
        return GPT4ALL_OK;
    }
    if (model->generate_failure.status != GPT4ALL_OK && position == model->generate_failure.at)
        return fail(model->generate_failure.status, "%s", model->generate_failure.message);
    int32_t token = g->plan[(size_t)position % g->n_plan];
    if (*previous >= 0) store_token(g, *previous);
    model->next_token = *previous = token;
    if (token != TOKEN_END) return take_token(g, token);
    finish(g, GPT4ALL_FINISH_STOP);
    deliver(g, token, g->n_held);
    return GPT4ALL_OK;
}

static gpt4all_status run(generation *g, const int32_t *tokens, int32_t n_tokens) {
    gpt4all_status status = make_plan(g, tokens, n_tokens);
    if (status != GPT4ALL_OK) return status;
    g->model->calls++;
    int64_t start = now_us();
    status = compute_prompt(g, tokens, n_tokens);
    g->result.prompt_us = now_us() - start;
    if (status != GPT4ALL_OK) return status;
    if (!g->done && g->options.max_tokens == 0) finish(g, GPT4ALL_FINISH_LENGTH);
    start = now_us();
    int32_t last = -1;
    while (status == GPT4ALL_OK && !g->done) status = generate_token(g, &last);
    /* What is held back of tokens that were counted is part of the answer. */
    if (status == GPT4ALL_OK && g->result.finish_reason == GPT4ALL_FINISH_CANCELLED && !g->refused && g->n_held > 0)
        deliver(g, -1, g->n_held);
    g->result.completion_us = now_us() - start;
    return status;
}

static void log_generate(const gpt4all_model *model, int32_t n_tokens, const gpt4all_generate_options *o) {
    if (!model->log_calls) return;
    log_call("generate n_tokens=%d max_tokens=%d n_batch=%d top_k=%d temperature=%g top_p=%g min_p=%g "
             "repeat_penalty=%g repeat_last_n=%d seed=%u reuse_prefix=%d n_keep=%d keep_context=%d "
             "n_stop=%lld cancel=%d",
             (int)n_tokens, (int)o->max_tokens, (int)o->n_batch, (int)o->top_k, (double)o->temperature,
             (double)o->top_p, (double)o->min_p, (double)o->repeat_penalty, (int)o->repeat_last_n, (unsigned)o->seed,
             (int)o->reuse_prefix, (int)o->n_keep, (int)o->keep_context, (long long)o->n_stop, o->cancel != NULL);
    for (int64_t i = 0; i < o->n_stop; i++) log_call("generate stop=%.*s", (int)o->stop[i].length, o->stop[i].data);
    for (int64_t i = 0; i < o->n_logit_bias; i++)
        log_call("generate logit_bias=%d:%g", (int)o->logit_bias[i].token, (double)o->logit_bias[i].bias);
    if (o->grammar != NULL) {
        log_call("generate grammar:");
        log_bytes(GPT4ALL_LOG_DEBUG, o->grammar->data, (size_t)o->grammar->length);
    }
    if (length_of(o->thinking_open) > 0)
        log_call("generate thinking_open=%.*s", (int)o->thinking_open->length, o->thinking_open->data);
    if (length_of(o->thinking_close) > 0)
        log_call("generate thinking_close=%.*s", (int)o->thinking_close->length, o->thinking_close->data);
}

gpt4all_status gpt4all_generate(gpt4all_model *model, const int32_t *tokens, int32_t n_tokens,
                                const gpt4all_generate_options *options, gpt4all_token_callback callback, void *payload,
                                gpt4all_generate_result *result) {
    forget_error();
    if (model == NULL) return null_argument("model");
    generation g = {.model = model, .options = generate_defaults, .callback = callback, .payload = payload};
    gpt4all_status status = check_struct(result, sizeof *result, "result");
    if (status != GPT4ALL_OK) return status;
    status = read_struct(&g.options, sizeof g.options, options, "options");
    if (status == GPT4ALL_OK) status = check_generate_options(&g.options);
    if (status == GPT4ALL_OK) status = check_constraints(model, &g.options);
    if (status == GPT4ALL_OK) status = check_prompt(model, tokens, n_tokens);
    if (status == GPT4ALL_OK) {
        g.result.prompt_tokens = n_tokens;
        status = occupy(model);
    }
    if (status == GPT4ALL_OK) {
        log_generate(model, n_tokens, &g.options);
        status = run(&g, tokens, n_tokens);
        release(model);
    }
    free(g.plan);
    free(g.held);
    write_struct(result, &g.result, sizeof g.result);
    return status;
}

/* Logits in [0, 1) that depend on every token of the context, except for the
 * token that the script wants next, which stands out. */
gpt4all_status gpt4all_last_logits(gpt4all_model *model, float *logits, int64_t capacity) {
    forget_error();
    if (model == NULL) return null_argument("model");
    if (logits == NULL) return null_argument("logits");
    if (capacity < model->n_vocab)
        return fail(GPT4ALL_ERROR_BUFFER_TOO_SMALL, "%lld logits do not fit a buffer of %lld",
                    (long long)model->n_vocab, (long long)capacity);
    gpt4all_status status = occupy(model);
    if (status != GPT4ALL_OK) return status;
    if (model->next_token < 0)
        status = fail(GPT4ALL_ERROR_INVALID_ARGUMENT, "nothing has been computed yet");
    else {
        uint32_t hash = 2166136261U;
        for (int32_t i = 0; i < model->n_memory; i++) hash = (hash ^ (uint32_t)model->memory[i]) * 16777619U;
        for (int64_t i = 0; i < model->n_vocab; i++)
            logits[i] = (float)(((hash + (uint32_t)i) * 2654435761U) >> 8) / 16777216.0F;
        logits[model->next_token] = 10.0F;
    }
    release(model);
    return status;
}

/* Embeddings */

typedef struct embedding {
    gpt4all_model *model;
    gpt4all_embed_options options;
    const int32_t *tokens, *lengths;
    int64_t n_texts;
    int64_t *starts;  /* of each text's tokens */
    int64_t *order;   /* texts, longest first */
    int32_t *batches; /* tokens of each */
    int64_t n_batches;
    float *vectors;
} embedding;

static gpt4all_status check_embed(const embedding *e, int64_t capacity) {
    const gpt4all_status bad = GPT4ALL_ERROR_INVALID_ARGUMENT;
    const gpt4all_model *model = e->model;
    int32_t limit = model->n_ctx < model->n_ctx_train ? model->n_ctx : (int32_t)model->n_ctx_train;
    if (!(model->traits & GPT4ALL_TRAIT_EMBEDDING) || model->pooling == GPT4ALL_POOLING_RANK)
        return fail(GPT4ALL_ERROR_UNSUPPORTED_MODEL, "this model makes no embeddings");
    if (e->n_texts < 0) return fail(bad, "n_texts %lld is negative", (long long)e->n_texts);
    if (e->n_texts == 0) return GPT4ALL_OK;
    if (e->tokens == NULL) return null_argument("tokens");
    if (e->lengths == NULL) return null_argument("lengths");
    if (e->vectors == NULL) return null_argument("vectors");
    if (capacity / model->n_embd < e->n_texts)
        return fail(GPT4ALL_ERROR_BUFFER_TOO_SMALL, "%lld vectors do not fit into %lld numbers", (long long)e->n_texts,
                    (long long)capacity);
    for (int64_t text = 0, at = 0; text < e->n_texts; at += e->lengths[text++]) {
        if (e->lengths[text] < 1) return fail(bad, "lengths[%lld] is less than 1", (long long)text);
        if (e->lengths[text] > limit)
            return fail(GPT4ALL_ERROR_CONTEXT_OVERFLOW, "lengths[%lld] is %d, but at most %d are taken",
                        (long long)text, (int)e->lengths[text], (int)limit);
        gpt4all_status status = check_tokens(model, e->tokens + at, e->lengths[text]);
        if (status != GPT4ALL_OK) return status;
    }
    return GPT4ALL_OK;
}

static bool plan_embed(embedding *e) {
    const size_t n = (size_t)e->n_texts + 1;
    e->starts = malloc(n * sizeof *e->starts);
    e->order = malloc(n * sizeof *e->order);
    e->batches = calloc(n, sizeof *e->batches);
    if (e->starts == NULL || e->order == NULL || e->batches == NULL) return false;
    e->starts[0] = 0;
    for (int64_t text = 0; text < e->n_texts; text++) {
        e->starts[text + 1] = e->starts[text] + e->lengths[text];
        int64_t place = text;
        for (; place > 0 && e->lengths[e->order[place - 1]] < e->lengths[text]; place--)
            e->order[place] = e->order[place - 1];
        e->order[place] = text;
    }
    for (int64_t place = 0; place < e->n_texts; place++)
        e->batches[place / e->model->batch_texts] += e->lengths[e->order[place]];
    e->n_batches = (e->n_texts + e->model->batch_texts - 1) / e->model->batch_texts;
    return true;
}

static void write_vector(const embedding *e, int64_t text) {
    const int64_t width = e->model->n_embd;
    float *vector = e->vectors + text * width;
    uint32_t hash = 2166136261U;
    double sum = 0.0;
    for (int64_t i = e->starts[text]; i < e->starts[text + 1]; i++) hash = (hash ^ (uint32_t)e->tokens[i]) * 16777619U;
    for (int64_t i = 0; i < width; i++) {
        hash = hash * 1664525U + 1013904223U;
        vector[i] = (float)(hash >> 8) / 8388608.0F - 1.0F;
        sum += (double)vector[i] * (double)vector[i];
    }
    for (int64_t i = 0; i < width && e->options.normalize != 0; i++) vector[i] = (float)((double)vector[i] / sqrt(sum));
}

static gpt4all_status run_embed(const embedding *e, gpt4all_embed_callback callback, void *payload) {
    static const char stopped[] = "the embedding was stopped";
    const gpt4all_model *model = e->model;
    for (int64_t batch = 0; batch < e->n_batches; batch++) {
        if (model->embed_failure.status != GPT4ALL_OK && batch == model->embed_failure.at)
            return fail(model->embed_failure.status, "%s", model->embed_failure.message);
        if (callback != NULL && callback(e->batches + batch, e->n_batches - batch, payload) != 0)
            return fail(GPT4ALL_ERROR_CANCELLED, stopped);
        gpt4all_status status = batch == model->wait_cancel_in_batch ? wait_for_flag(e->options.cancel) : GPT4ALL_OK;
        if (status != GPT4ALL_OK) return status;
        if (pause_unless(e->options.cancel, model->embed_delay_us)) return fail(GPT4ALL_ERROR_CANCELLED, stopped);
        const int64_t first = batch * model->batch_texts, end = first + model->batch_texts;
        for (int64_t place = first; place < end && place < e->n_texts; place++) write_vector(e, e->order[place]);
    }
    return GPT4ALL_OK;
}

gpt4all_status gpt4all_embed(gpt4all_model *model, const int32_t *tokens, const int32_t *lengths, int64_t n_texts,
                             const gpt4all_embed_options *options, float *vectors, int64_t capacity,
                             gpt4all_embed_callback callback, void *payload) {
    forget_error();
    if (model == NULL) return null_argument("model");
    embedding e = {.model = model, .options = embed_defaults, .tokens = tokens, .lengths = lengths};
    e.n_texts = n_texts;
    e.vectors = vectors;
    gpt4all_status status = read_struct(&e.options, sizeof e.options, options, "options");
    if (status == GPT4ALL_OK) status = check_embed(&e, capacity);
    if (status != GPT4ALL_OK || n_texts == 0) return status;
    status = occupy(model);
    if (status != GPT4ALL_OK) return status;
    if (model->log_calls)
        log_call("embed n_texts=%lld normalize=%d cancel=%d callback=%d", (long long)n_texts, (int)e.options.normalize,
                 e.options.cancel != NULL, callback != NULL);
    status = plan_embed(&e) ? run_embed(&e, callback, payload) : out_of_memory();
    release(model);
    free(e.starts);
    free(e.order);
    free(e.batches);
    return status;
}
