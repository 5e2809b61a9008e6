/*
 * test_abi.c - gpt4all_backend.h seen from C
 *
 *     test_abi --layout            sizes, offsets and constants as JSON lines
 *     test_abi LIBRARY             what holds without a model
 *     test_abi LIBRARY MODEL       the same, then what a generating model must do
 *     test_abi LIBRARY MODEL TEXT  the same, then prints the CPU's module and how the model goes on
 *
 * Compiles as C99 and as C11. The exit status is 0 when every check holds, 1
 * when one does not (each is named on stderr), 2 when nothing could be checked.
 */
#include "gpt4all_backend.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef _WIN32
#include <windows.h>

#include <shellapi.h>
#else
#include <dlfcn.h>
#endif

/* Layout */

#define STRUCT(name) printf("{\"struct\": \"%s\", \"size\": %u}\n", #name, (unsigned)sizeof(name))
#define FIELD(type, name)                                                                                              \
    printf("{\"struct\": \"%s\", \"field\": \"%s\", \"offset\": %u, \"size\": %u}\n", #type, #name,                    \
           (unsigned)offsetof(type, name), (unsigned)sizeof(((type *)0)->name))
#define CONSTANT(name) printf("{\"constant\": \"%s\", \"value\": %d}\n", #name, (int)(name))

static void print_option_structs(void) {
    STRUCT(gpt4all_text_part);
    FIELD(gpt4all_text_part, data);
    FIELD(gpt4all_text_part, length);
    FIELD(gpt4all_text_part, parse_special);
    FIELD(gpt4all_text_part, reserved);

    STRUCT(gpt4all_string);
    FIELD(gpt4all_string, data);
    FIELD(gpt4all_string, length);

    STRUCT(gpt4all_token_bias);
    FIELD(gpt4all_token_bias, token);
    FIELD(gpt4all_token_bias, bias);

    STRUCT(gpt4all_load_options);
    FIELD(gpt4all_load_options, struct_size);
    FIELD(gpt4all_load_options, n_ctx);
    FIELD(gpt4all_load_options, n_batch);
    FIELD(gpt4all_load_options, n_threads);
    FIELD(gpt4all_load_options, n_threads_batch);
    FIELD(gpt4all_load_options, n_gpu_layers);
    FIELD(gpt4all_load_options, device);
    FIELD(gpt4all_load_options, main_gpu);
    FIELD(gpt4all_load_options, flash_attention);
    FIELD(gpt4all_load_options, use_mmap);
    FIELD(gpt4all_load_options, kv_type);
    FIELD(gpt4all_load_options, tensor_split);
    FIELD(gpt4all_load_options, n_tensor_split);
    FIELD(gpt4all_load_options, prefix_cache_bytes);
    FIELD(gpt4all_load_options, progress);
    FIELD(gpt4all_load_options, progress_payload);
    FIELD(gpt4all_load_options, n_sequences);
    FIELD(gpt4all_load_options, reserved);

    STRUCT(gpt4all_generate_options);
    FIELD(gpt4all_generate_options, struct_size);
    FIELD(gpt4all_generate_options, max_tokens);
    FIELD(gpt4all_generate_options, n_batch);
    FIELD(gpt4all_generate_options, top_k);
    FIELD(gpt4all_generate_options, temperature);
    FIELD(gpt4all_generate_options, top_p);
    FIELD(gpt4all_generate_options, min_p);
    FIELD(gpt4all_generate_options, repeat_penalty);
    FIELD(gpt4all_generate_options, repeat_last_n);
    FIELD(gpt4all_generate_options, presence_penalty);
    FIELD(gpt4all_generate_options, frequency_penalty);
    FIELD(gpt4all_generate_options, seed);
    FIELD(gpt4all_generate_options, reuse_prefix);
    FIELD(gpt4all_generate_options, n_keep);
    FIELD(gpt4all_generate_options, keep_context);
    FIELD(gpt4all_generate_options, render_special);
    FIELD(gpt4all_generate_options, stop);
    FIELD(gpt4all_generate_options, n_stop);
    FIELD(gpt4all_generate_options, cancel);
    FIELD(gpt4all_generate_options, logit_bias);
    FIELD(gpt4all_generate_options, n_logit_bias);
    FIELD(gpt4all_generate_options, grammar);
    FIELD(gpt4all_generate_options, thinking_open);
    FIELD(gpt4all_generate_options, thinking_close);
    FIELD(gpt4all_generate_options, logprobs);
    FIELD(gpt4all_generate_options, logprobs_payload);
    FIELD(gpt4all_generate_options, n_top_logprobs);
    FIELD(gpt4all_generate_options, reserved);
    FIELD(gpt4all_generate_options, chat);

    STRUCT(gpt4all_embed_options);
    FIELD(gpt4all_embed_options, struct_size);
    FIELD(gpt4all_embed_options, normalize);
    FIELD(gpt4all_embed_options, cancel);
}

static void print_result_structs(void) {
    STRUCT(gpt4all_device_info);
    FIELD(gpt4all_device_info, struct_size);
    FIELD(gpt4all_device_info, type);
    FIELD(gpt4all_device_info, memory_total);
    FIELD(gpt4all_device_info, memory_free);
    FIELD(gpt4all_device_info, name);
    FIELD(gpt4all_device_info, description);
    FIELD(gpt4all_device_info, id);
    FIELD(gpt4all_device_info, api);

    STRUCT(gpt4all_token_logprob);
    FIELD(gpt4all_token_logprob, token);
    FIELD(gpt4all_token_logprob, logprob);
    FIELD(gpt4all_token_logprob, text);
    FIELD(gpt4all_token_logprob, text_len);

    STRUCT(gpt4all_model_info);
    FIELD(gpt4all_model_info, struct_size);
    FIELD(gpt4all_model_info, traits);
    FIELD(gpt4all_model_info, n_ctx);
    FIELD(gpt4all_model_info, n_ctx_train);
    FIELD(gpt4all_model_info, n_vocab);
    FIELD(gpt4all_model_info, n_embd);
    FIELD(gpt4all_model_info, n_layer);
    FIELD(gpt4all_model_info, token_bos);
    FIELD(gpt4all_model_info, token_eos);
    FIELD(gpt4all_model_info, add_bos);
    FIELD(gpt4all_model_info, n_params);
    FIELD(gpt4all_model_info, weights_bytes);
    FIELD(gpt4all_model_info, architecture);
    FIELD(gpt4all_model_info, description);
    FIELD(gpt4all_model_info, quantization);
    FIELD(gpt4all_model_info, name);
    FIELD(gpt4all_model_info, chat_template);
    FIELD(gpt4all_model_info, n_layers_offloaded);
    FIELD(gpt4all_model_info, device);
    FIELD(gpt4all_model_info, device_bytes);
    FIELD(gpt4all_model_info, n_embd_out);
    FIELD(gpt4all_model_info, pooling);
    FIELD(gpt4all_model_info, wordpiece);
    FIELD(gpt4all_model_info, reserved);
    FIELD(gpt4all_model_info, basename);

    STRUCT(gpt4all_memory_need);
    FIELD(gpt4all_memory_need, device);
    FIELD(gpt4all_memory_need, n_layers);
    FIELD(gpt4all_memory_need, weights);
    FIELD(gpt4all_memory_need, context);
    FIELD(gpt4all_memory_need, compute);
    FIELD(gpt4all_memory_need, memory_total);
    FIELD(gpt4all_memory_need, memory_free);

    STRUCT(gpt4all_generate_result);
    FIELD(gpt4all_generate_result, struct_size);
    FIELD(gpt4all_generate_result, finish_reason);
    FIELD(gpt4all_generate_result, prompt_tokens);
    FIELD(gpt4all_generate_result, cached_tokens);
    FIELD(gpt4all_generate_result, completion_tokens);
    FIELD(gpt4all_generate_result, context_shifts);
    FIELD(gpt4all_generate_result, prompt_us);
    FIELD(gpt4all_generate_result, completion_us);
}

static void print_constants(void) {
    CONSTANT(GPT4ALL_ABI_VERSION);
    CONSTANT(GPT4ALL_OK);
    CONSTANT(GPT4ALL_ERROR_INTERNAL);
    CONSTANT(GPT4ALL_ERROR_INVALID_ARGUMENT);
    CONSTANT(GPT4ALL_ERROR_OUT_OF_MEMORY);
    CONSTANT(GPT4ALL_ERROR_MODEL_LOAD);
    CONSTANT(GPT4ALL_ERROR_UNSUPPORTED_MODEL);
    CONSTANT(GPT4ALL_ERROR_CONTEXT_OVERFLOW);
    CONSTANT(GPT4ALL_ERROR_DECODE);
    CONSTANT(GPT4ALL_ERROR_CANCELLED);
    CONSTANT(GPT4ALL_ERROR_BUSY);
    CONSTANT(GPT4ALL_ERROR_UNSUPPORTED_CPU);
    CONSTANT(GPT4ALL_ERROR_BUFFER_TOO_SMALL);
    CONSTANT(GPT4ALL_ERROR_TEMPLATE);
    CONSTANT(GPT4ALL_ERROR_INVALID_MODEL);
    CONSTANT(GPT4ALL_LOG_DEBUG);
    CONSTANT(GPT4ALL_LOG_INFO);
    CONSTANT(GPT4ALL_LOG_WARNING);
    CONSTANT(GPT4ALL_LOG_ERROR);
    CONSTANT(GPT4ALL_DEVICE_CPU);
    CONSTANT(GPT4ALL_DEVICE_GPU);
    CONSTANT(GPT4ALL_DEVICE_INTEGRATED_GPU);
    CONSTANT(GPT4ALL_DEVICE_OTHER);
    CONSTANT(GPT4ALL_DEVICE_SOFTWARE_GPU);
    CONSTANT(GPT4ALL_TRAIT_ENCODER);
    CONSTANT(GPT4ALL_TRAIT_DECODER);
    CONSTANT(GPT4ALL_TRAIT_RECURRENT);
    CONSTANT(GPT4ALL_TRAIT_EMBEDDING);
    CONSTANT(GPT4ALL_TRAIT_DIFFUSION);
    CONSTANT(GPT4ALL_TRAIT_CAN_SHIFT);
    CONSTANT(GPT4ALL_POOLING_NONE);
    CONSTANT(GPT4ALL_POOLING_MEAN);
    CONSTANT(GPT4ALL_POOLING_FIRST);
    CONSTANT(GPT4ALL_POOLING_LAST);
    CONSTANT(GPT4ALL_POOLING_RANK);
    CONSTANT(GPT4ALL_WORDPIECE);
    CONSTANT(GPT4ALL_WORDPIECE_LOWERCASE);
    CONSTANT(GPT4ALL_WORDPIECE_STRIP_ACCENTS);
    CONSTANT(GPT4ALL_TOKENIZE_ADD_SPECIAL);
    CONSTANT(GPT4ALL_TOKENIZE_PARSE_SPECIAL);
    CONSTANT(GPT4ALL_FINISH_STOP);
    CONSTANT(GPT4ALL_FINISH_LENGTH);
    CONSTANT(GPT4ALL_FINISH_CANCELLED);
    CONSTANT(GPT4ALL_FINISH_NOT_YET);
}

/* The library under test, each function with the header's own type */

#define FUNCTIONS(X)                                                                                                   \
    X(abi_version)                                                                                                     \
    X(build_info)                                                                                                      \
    X(cpu_info)                                                                                                        \
    X(last_error)                                                                                                      \
    X(set_log_callback)                                                                                                \
    X(init)                                                                                                            \
    X(device_count)                                                                                                    \
    X(device_get_info)                                                                                                 \
    X(load_options_init)                                                                                               \
    X(model_load)                                                                                                      \
    X(model_memory)                                                                                                    \
    X(model_free)                                                                                                      \
    X(model_get_info)                                                                                                  \
    X(model_set_threads)                                                                                               \
    X(tokenize)                                                                                                        \
    X(tokenize_parts)                                                                                                  \
    X(chat_render)                                                                                                     \
    X(detokenize)                                                                                                      \
    X(generate_options_init)                                                                                           \
    X(generate_result_init)                                                                                            \
    X(generate)                                                                                                        \
    X(request_start)                                                                                                   \
    X(request_read)                                                                                                    \
    X(request_cancel)                                                                                                  \
    X(request_free)                                                                                                    \
    X(last_logits)                                                                                                     \
    X(grammar_check)                                                                                                   \
    X(embed_options_init)                                                                                              \
    X(embed)

#define MEMBER(name) __typeof__(gpt4all_##name) *name;
static struct {
    FUNCTIONS(MEMBER)
} lib;

static int n_checks, n_failed;

static void check(int holds, const char *name) {
    n_checks++;
    if (holds) return;
    n_failed++;
    fprintf(stderr, "FAILED: %s (last error: \"%s\")\n", name, lib.last_error == NULL ? "" : lib.last_error());
}

/* A failure has its status and a message that names what was wrong. */
static void check_fails(gpt4all_status got, gpt4all_status wanted, const char *message_part, const char *name) {
    const char *message = lib.last_error();
    int holds = got == wanted && message[0] != '\0' && strstr(message, message_part) != NULL;
    check(holds, name);
    if (!holds)
        fprintf(stderr, "        status %d, wanted %d and '%s' in the message\n", (int)got, (int)wanted, message_part);
}

static void check_invalid(gpt4all_status got, const char *argument, const char *name) {
    check_fails(got, GPT4ALL_ERROR_INVALID_ARGUMENT, argument, name);
}

#ifdef _WIN32
typedef HMODULE library_handle;
typedef FARPROC library_address;

static library_handle load_library(const char *path) {
    WCHAR wide[1024] = L"", absolute[1024] = L"";
    HMODULE handle;
    MultiByteToWideChar(CP_UTF8, 0, path, -1, wide, 1024);
    GetFullPathNameW(wide, 1024, absolute, NULL);
    /* As Python's ctypes does it. */
    handle = LoadLibraryExW(absolute, NULL, LOAD_LIBRARY_SEARCH_DLL_LOAD_DIR | LOAD_LIBRARY_SEARCH_DEFAULT_DIRS);
    if (handle == NULL) fprintf(stderr, "%s: error %lu\n", path, GetLastError());
    return handle;
}

#define find_function GetProcAddress
#else
typedef void *library_handle;
typedef void *library_address;

static library_handle load_library(const char *path) {
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (handle == NULL) fprintf(stderr, "%s\n", dlerror());
    return handle;
}

#define find_function dlsym
#endif

static int open_library(const char *path) {
    library_handle handle = load_library(path);
    library_address address;
    if (handle == NULL) return 0;
    /* ISO C has no cast from an object's address to a function's. */
#define RESOLVE(name)                                                                                                  \
    address = find_function(handle, "gpt4all_" #name);                                                                 \
    memcpy(&lib.name, &address, sizeof address);                                                                       \
    if (address == NULL) {                                                                                             \
        fprintf(stderr, "%s lacks gpt4all_%s\n", path, #name);                                                         \
        return 0;                                                                                                      \
    }
    FUNCTIONS(RESOLVE)
    return 1;
}

/* Defaults and init functions */

static void expect_load_defaults(gpt4all_load_options *o) {
    memset(o, 0, sizeof *o);
    o->struct_size = (uint32_t)sizeof *o;
    o->n_ctx = 2048;
    o->n_batch = 512;
    o->n_threads = 4;
    o->n_threads_batch = 4;
    o->n_gpu_layers = 100;
    o->device = -1;
    o->flash_attention = -1;
    o->use_mmap = 1;
    o->prefix_cache_bytes = (int64_t)256 << 20;
    o->n_sequences = 1;
}

static void expect_generate_defaults(gpt4all_generate_options *o) {
    memset(o, 0, sizeof *o);
    o->struct_size = (uint32_t)sizeof *o;
    o->max_tokens = 200;
    o->n_batch = 512;
    o->top_k = 40;
    o->temperature = 0.7F;
    o->top_p = 0.4F;
    o->repeat_penalty = 1.18F;
    o->repeat_last_n = 64;
    o->reuse_prefix = 1;
}

static void expect_embed_defaults(gpt4all_embed_options *o) {
    memset(o, 0, sizeof *o);
    o->struct_size = (uint32_t)sizeof *o;
    o->normalize = 1;
}

typedef gpt4all_status (*init_function)(void *, uint64_t);

static gpt4all_status init_load(void *p, uint64_t size) { return lib.load_options_init(p, size); }
static gpt4all_status init_generate(void *p, uint64_t size) { return lib.generate_options_init(p, size); }
static gpt4all_status init_embed(void *p, uint64_t size) { return lib.embed_options_init(p, size); }
static gpt4all_status init_result(void *p, uint64_t size) { return lib.generate_result_init(p, size); }

enum { ROOM = 512, FILL = 0xA5 };

static int is_filled(const unsigned char *bytes, size_t n, unsigned char value) {
    size_t i;
    for (i = 0; i < n; i++)
        if (bytes[i] != value) return 0;
    return 1;
}

/* `expected` is the whole struct; its struct_size follows the size asked for. */
static void check_init(init_function init, const void *expected, size_t known, const char *what, const char *argument) {
    const size_t sizes[] = {known, known - 8, sizeof(uint32_t), known + 24};
    unsigned char wanted[ROOM], got[ROOM];
    char name[128];
    size_t i;
    for (i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        size_t size = sizes[i], common = size < known ? size : known;
        uint32_t struct_size = (uint32_t)size;
        memset(wanted, 0, sizeof wanted);
        memcpy(wanted, expected, common);
        memcpy(wanted, &struct_size, sizeof struct_size);
        memset(got, FILL, sizeof got);
        snprintf(name, sizeof name, "%s of size %u succeeds", what, (unsigned)size);
        check(init(got, size) == GPT4ALL_OK, name);
        snprintf(name, sizeof name, "%s of size %u gives the defaults", what, (unsigned)size);
        check(memcmp(got, wanted, size) == 0, name);
        snprintf(name, sizeof name, "%s of size %u writes nothing behind it", what, (unsigned)size);
        check(is_filled(got + size, sizeof got - size, FILL), name);
    }
    memset(got, FILL, sizeof got);
    snprintf(name, sizeof name, "%s refuses sizes 0 and 3", what);
    check_invalid(init(got, 0), "size", name);
    check_invalid(init(got, 3), "size", name);
    snprintf(name, sizeof name, "%s refuses a size no struct has", what);
    check_invalid(init(got, UINT64_MAX), "size", name);
    check(is_filled(got, sizeof got, FILL), "a refused size writes nothing");
    snprintf(name, sizeof name, "%s refuses NULL", what);
    check_invalid(init(NULL, known), argument, name);
}

static void check_defaults(void) {
    gpt4all_load_options load;
    gpt4all_generate_options generate;
    gpt4all_generate_result result;
    gpt4all_embed_options embed;
    expect_load_defaults(&load);
    expect_generate_defaults(&generate);
    expect_embed_defaults(&embed);
    memset(&result, 0, sizeof result);
    result.struct_size = (uint32_t)sizeof result;
    check_init(init_load, &load, sizeof load, "gpt4all_load_options_init", "options");
    check_init(init_generate, &generate, sizeof generate, "gpt4all_generate_options_init", "options");
    check_init(init_result, &result, sizeof result, "gpt4all_generate_result_init", "result");
    check_init(init_embed, &embed, sizeof embed, "gpt4all_embed_options_init", "options");
}

/* Without a model */

static void check_library(void) {
    int32_t count = 0;
    check(lib.abi_version() == GPT4ALL_ABI_VERSION, "gpt4all_abi_version is the header's");
    check(lib.build_info() != NULL && strlen(lib.build_info()) > 0, "gpt4all_build_info says something");
    check(lib.cpu_info() != NULL && lib.cpu_info()[0] == '\0', "gpt4all_cpu_info is empty before gpt4all_init");
    check(lib.last_error() != NULL && lib.last_error()[0] == '\0', "gpt4all_last_error is empty at first");
    check_invalid(lib.device_count(&count), "gpt4all_init", "gpt4all_device_count wants gpt4all_init first");
    check(lib.set_log_callback(NULL, NULL) == GPT4ALL_OK, "gpt4all_set_log_callback takes NULL");
    check(lib.init() == GPT4ALL_OK, "gpt4all_init");
    check(lib.init() == GPT4ALL_OK, "gpt4all_init once more");
    check(strstr(lib.cpu_info(), ": ") != NULL, "gpt4all_cpu_info names the module and what it is compiled for");
}

static void check_devices(void) {
    gpt4all_device_info info;
    struct {
        gpt4all_device_info known;
        unsigned char unknown[16];
    } longer;
    int32_t count = -1, i, n_cpus = 0;
    check(lib.device_count(&count) == GPT4ALL_OK && count >= 1, "there is a device");
    check_invalid(lib.device_count(NULL), "count", "gpt4all_device_count refuses NULL");
    for (i = 0; i < count; i++) {
        memset(&info, 0, sizeof info);
        info.struct_size = (uint32_t)sizeof info;
        check(lib.device_get_info(i, &info) == GPT4ALL_OK, "gpt4all_device_get_info");
        check(info.struct_size == sizeof info, "struct_size of a device stays");
        check(info.name != NULL && info.name[0] != '\0' && info.description != NULL, "a device has a name");
        check(info.id != NULL && info.api != NULL && info.api[0] != '\0', "a device says what drives it");
        n_cpus += info.type == GPT4ALL_DEVICE_CPU;
    }
    check(n_cpus >= 1, "the CPU is a device");
    check_invalid(lib.device_get_info(-1, &info), "index", "device -1 is unknown");
    check_invalid(lib.device_get_info(count, &info), "index", "a device after the last is unknown");
    check_invalid(lib.device_get_info(0, NULL), "info", "gpt4all_device_get_info refuses NULL");
    info.struct_size = 0;
    check_invalid(lib.device_get_info(0, &info), "info", "gpt4all_device_get_info refuses struct_size 0");

    memset(&info, FILL, sizeof info);
    info.struct_size = (uint32_t)offsetof(gpt4all_device_info, memory_total);
    check(lib.device_get_info(0, &info) == GPT4ALL_OK, "gpt4all_device_get_info fills a shorter struct");
    check(is_filled((unsigned char *)&info + info.struct_size, sizeof info - info.struct_size, FILL),
          "gpt4all_device_get_info leaves alone what a shorter struct lacks");
    memset(&longer, 0, sizeof longer);
    longer.known.struct_size = (uint32_t)sizeof longer;
    check(lib.device_get_info(0, &longer.known) == GPT4ALL_OK, "gpt4all_device_get_info fills a longer struct");
    longer.unknown[7] = 1;
    check_invalid(lib.device_get_info(0, &longer.known), "info", "gpt4all_device_get_info refuses unknown fields");
}

static const char missing_file[] = "/nonexistent/gpt4all/missing.gguf";

static void check_load_structs(void) {
    struct {
        gpt4all_load_options known;
        unsigned char unknown[16];
    } o;
    gpt4all_model *model = NULL;
    lib.load_options_init(&o.known, sizeof o);
    check_fails(lib.model_load(missing_file, &o.known, &model), GPT4ALL_ERROR_MODEL_LOAD, "",
                "a longer struct with zeros in its unknown part is accepted");
    o.unknown[15] = 1;
    check_invalid(lib.model_load(missing_file, &o.known, &model), "options",
                  "a longer struct with a value in its unknown part is refused");
    lib.load_options_init(&o.known, sizeof o.known);
    o.known.struct_size = (uint32_t)offsetof(gpt4all_load_options, kv_type);
    o.known.kv_type = "nonsense";
    check_fails(lib.model_load(missing_file, &o.known, &model), GPT4ALL_ERROR_MODEL_LOAD, "",
                "fields behind a shorter struct's end are not read");
    o.known.struct_size = (uint32_t)sizeof o.known;
    check_invalid(lib.model_load(missing_file, &o.known, &model), "kv_type", "an unknown kv_type is refused");
    o.known.struct_size = 0;
    check_invalid(lib.model_load(missing_file, &o.known, &model), "options", "struct_size 0 is refused");
}

static void check_load(void) {
    gpt4all_load_options o;
    gpt4all_model *const untouched = (gpt4all_model *)&o, *model = untouched;
    int32_t count = 0;
    lib.load_options_init(&o, sizeof o);
    check_fails(lib.model_load(missing_file, &o, &model), GPT4ALL_ERROR_MODEL_LOAD, "missing.gguf",
                "loading a missing file fails and names it");
    check(model == NULL, "a failed load leaves no model");
    check(strstr(lib.last_error(), "missing.gguf") != NULL, "asking for the message does not clear it");
    check(lib.device_count(&count) == GPT4ALL_OK && lib.last_error()[0] == '\0', "a later success clears the message");
    check_invalid(lib.model_load(NULL, &o, &model), "path", "gpt4all_model_load refuses a NULL path");
    check_invalid(lib.model_load(missing_file, NULL, &model), "options", "gpt4all_model_load refuses NULL options");
    check_invalid(lib.model_load(missing_file, &o, NULL), "model", "gpt4all_model_load refuses a NULL model");
    o.device = count;
    check_invalid(lib.model_load(missing_file, &o, &model), "device", "gpt4all_model_load refuses an unknown device");
    o.device = -2;
    check_invalid(lib.model_load(missing_file, &o, &model), "device", "gpt4all_model_load refuses device -2");
    lib.load_options_init(&o, sizeof o);
    o.n_ctx = -1;
    check_invalid(lib.model_load(missing_file, &o, &model), "n_ctx", "gpt4all_model_load refuses n_ctx -1");
    o.n_ctx = 2048;
    o.n_threads = 0;
    check_invalid(lib.model_load(missing_file, &o, &model), "n_threads", "gpt4all_model_load refuses n_threads 0");
}

static int32_t ignore_part(const char *text, int64_t length, int32_t from_message, void *payload) {
    (void)text;
    (void)length;
    (void)from_message;
    (void)payload;
    return 0;
}

static void check_null_model(void) {
    gpt4all_model_info info;
    gpt4all_generate_options options;
    gpt4all_generate_result result;
    int32_t id = 1, count = 0;
    int64_t length = 0;
    gpt4all_embed_options embed;
    float logit = 0;
    char text[4];
    memset(&info, 0, sizeof info);
    info.struct_size = (uint32_t)sizeof info;
    lib.generate_options_init(&options, sizeof options);
    lib.generate_result_init(&result, sizeof result);
    check(lib.model_free(NULL) == GPT4ALL_OK, "gpt4all_model_free takes NULL");
    check_invalid(lib.model_get_info(NULL, &info), "model", "gpt4all_model_get_info refuses a NULL model");
    check_invalid(lib.model_set_threads(NULL, 1, 1), "model", "gpt4all_model_set_threads refuses a NULL model");
    check_invalid(lib.tokenize(NULL, "a", 1, 0, NULL, &id, 1, &count), "model",
                  "gpt4all_tokenize refuses a NULL model");
    check_invalid(lib.detokenize(NULL, &id, 1, text, 4, &length), "model", "gpt4all_detokenize refuses a NULL model");
    check_invalid(lib.tokenize_parts(NULL, NULL, 0, 0, NULL, &id, 1, &count), "model",
                  "gpt4all_tokenize_parts refuses a NULL model");
    check_invalid(lib.chat_render(NULL, "", "[]", NULL, 0, NULL, ignore_part, NULL), "model",
                  "gpt4all_chat_render refuses a NULL model");
    check_invalid(lib.generate(NULL, &id, 1, &options, NULL, NULL, &result), "model",
                  "gpt4all_generate refuses a NULL model");
    check_invalid(lib.last_logits(NULL, &logit, 1), "model", "gpt4all_last_logits refuses a NULL model");
    check_invalid(lib.grammar_check(NULL, "root ::= \"a\"", 12), "model", "gpt4all_grammar_check refuses a NULL model");
    lib.embed_options_init(&embed, sizeof embed);
    check_invalid(lib.embed(NULL, &id, &id, 1, &embed, &logit, 1, NULL, NULL), "model",
                  "gpt4all_embed refuses a NULL model");
}

/* With a model that generates */

static void check_text(gpt4all_model *model) {
    int32_t ids[16], count = -1, needed;
    int64_t length = -1;
    char text[64];
    check(lib.tokenize(model, "Hello", 5, 0, NULL, ids, 16, &count) == GPT4ALL_OK && count >= 1, "gpt4all_tokenize");
    needed = count;
    count = -1;
    check_fails(lib.tokenize(model, "Hello", 5, 0, NULL, NULL, 0, &count), GPT4ALL_ERROR_BUFFER_TOO_SMALL, "",
                "gpt4all_tokenize without a buffer");
    check(count == needed, "gpt4all_tokenize tells the size it needs");
    check(lib.detokenize(model, ids, needed, text, 64, &length) == GPT4ALL_OK, "gpt4all_detokenize");
    check(length >= 5 && length < 64 && memcmp(text + length - 5, "Hello", 5) == 0, "tokens give their text again");
    check_fails(lib.detokenize(model, ids, needed, NULL, 0, &length), GPT4ALL_ERROR_BUFFER_TOO_SMALL, "",
                "gpt4all_detokenize without a buffer");
    check(length >= 5, "gpt4all_detokenize tells the size it needs");
    check_invalid(lib.tokenize(model, NULL, 5, 0, NULL, ids, 16, &count), "text",
                  "gpt4all_tokenize refuses a NULL text");
    check_invalid(lib.tokenize(model, "a", -1, 0, NULL, ids, 16, &count), "text_len",
                  "gpt4all_tokenize refuses text_len -1");
    check_invalid(lib.tokenize(model, "a", 1, 64, NULL, ids, 16, &count), "flags",
                  "gpt4all_tokenize refuses unknown flags");
    check_invalid(lib.tokenize(model, "a", 1, 0, NULL, NULL, 16, &count), "tokens",
                  "gpt4all_tokenize refuses NULL tokens");
    check_invalid(lib.tokenize(model, "a", 1, 0, NULL, ids, 16, NULL), "count",
                  "gpt4all_tokenize refuses a NULL count");
    check_invalid(lib.detokenize(model, NULL, 1, text, 64, &length), "tokens",
                  "gpt4all_detokenize refuses NULL tokens");
    check_invalid(lib.detokenize(model, ids, 1, NULL, 64, &length), "text", "gpt4all_detokenize refuses a NULL text");
    check_invalid(lib.detokenize(model, ids, 1, text, 64, NULL), "length", "gpt4all_detokenize refuses a NULL length");
    ids[0] = -1;
    check_invalid(lib.detokenize(model, ids, 1, text, 64, &length), "token", "gpt4all_detokenize refuses token -1");
}

static void check_parts(gpt4all_model *model) {
    gpt4all_text_part parts[2];
    int32_t ids[16], in_parts[16], count = 0, n_parts = 0;
    memset(parts, 0, sizeof parts);
    parts[0].data = "Hel";
    parts[0].length = 3;
    parts[1].data = "lo";
    parts[1].length = 2;
    parts[1].parse_special = 1;
    lib.tokenize(model, "Hello", 5, GPT4ALL_TOKENIZE_ADD_SPECIAL, NULL, ids, 16, &count);
    check(lib.tokenize_parts(model, parts, 2, GPT4ALL_TOKENIZE_ADD_SPECIAL, NULL, in_parts, 16, &n_parts) == GPT4ALL_OK,
          "gpt4all_tokenize_parts");
    check(n_parts == count && memcmp(ids, in_parts, (size_t)count * sizeof *ids) == 0, "parts are one text");
    check_fails(lib.tokenize_parts(model, parts, 2, 0, NULL, NULL, 0, &n_parts), GPT4ALL_ERROR_BUFFER_TOO_SMALL, "",
                "gpt4all_tokenize_parts without a buffer");
    check(n_parts > 0, "gpt4all_tokenize_parts tells the size it needs");
    check(lib.tokenize_parts(model, NULL, 0, 0, NULL, NULL, 0, &n_parts) == GPT4ALL_OK && n_parts == 0, "no parts");
    check_invalid(lib.tokenize_parts(model, NULL, 1, 0, NULL, ids, 16, &n_parts), "parts",
                  "gpt4all_tokenize_parts refuses NULL parts");
    check_invalid(lib.tokenize_parts(model, parts, 2, GPT4ALL_TOKENIZE_PARSE_SPECIAL, NULL, ids, 16, &n_parts), "flags",
                  "gpt4all_tokenize_parts has a flag less");
    parts[1].reserved = 1;
    check_invalid(lib.tokenize_parts(model, parts, 2, 0, NULL, ids, 16, &n_parts), "parts[1].reserved",
                  "gpt4all_tokenize_parts refuses what it does not know");
}

static void check_chat(gpt4all_model *model) {
    static const char messages[] = "[{\"role\": \"user\", \"content\": \"Hi\"}]";
    check(lib.chat_render(model, "{{ messages }}", messages, NULL, 1, NULL, ignore_part, NULL) == GPT4ALL_OK,
          "gpt4all_chat_render");
    check_fails(lib.chat_render(model, "{% if", messages, NULL, 1, NULL, ignore_part, NULL), GPT4ALL_ERROR_TEMPLATE,
                "broken", "gpt4all_chat_render refuses a broken template");
    check_invalid(lib.chat_render(model, "", NULL, NULL, 1, NULL, ignore_part, NULL), "messages_json",
                  "gpt4all_chat_render refuses NULL messages");
    check_invalid(lib.chat_render(model, "", "{}", NULL, 1, NULL, ignore_part, NULL), "messages_json",
                  "gpt4all_chat_render refuses what is no list");
    check_invalid(lib.chat_render(model, "", messages, "[]", 1, NULL, ignore_part, NULL), "args_json",
                  "gpt4all_chat_render refuses arguments that are no object");
    check_invalid(lib.chat_render(model, "", messages, NULL, 1, NULL, NULL, NULL), "callback",
                  "gpt4all_chat_render refuses a NULL callback");
}

static void check_model_calls(gpt4all_model *model) {
    gpt4all_model_info info;
    gpt4all_embed_options embed;
    const int32_t one = 1;
    float logit;
    memset(&info, 0, sizeof info);
    info.struct_size = (uint32_t)sizeof info;
    check(lib.model_get_info(model, &info) == GPT4ALL_OK, "gpt4all_model_get_info");
    check(info.n_ctx == 64 && info.n_vocab > 0 && info.architecture != NULL && info.chat_template != NULL &&
              info.name != NULL && info.quantization != NULL && info.description != NULL,
          "gpt4all_model_get_info fills its struct");
    check(info.n_layers_offloaded == 0 && info.device == -1 && info.device_bytes == 0,
          "a model on the CPU has nothing on a device");
    check_invalid(lib.model_get_info(model, NULL), "info", "gpt4all_model_get_info refuses NULL");
    check(lib.model_set_threads(model, 1, 2) == GPT4ALL_OK, "gpt4all_model_set_threads");
    check_invalid(lib.model_set_threads(model, 0, 1), "n_threads", "gpt4all_model_set_threads refuses 0");
    check_invalid(lib.model_set_threads(model, 1, 0), "n_threads_batch",
                  "gpt4all_model_set_threads refuses 0 for prompts");
    check_invalid(lib.last_logits(model, NULL, 1), "logits", "gpt4all_last_logits refuses NULL");
    check_fails(lib.last_logits(model, &logit, info.n_vocab - 1), GPT4ALL_ERROR_BUFFER_TOO_SMALL, "",
                "gpt4all_last_logits refuses a small buffer");
    lib.embed_options_init(&embed, sizeof embed);
    check_fails(lib.embed(model, &one, &one, 1, &embed, &logit, 1, NULL, NULL), GPT4ALL_ERROR_UNSUPPORTED_MODEL, "",
                "gpt4all_embed refuses a model that generates text");
    check_invalid(lib.embed(model, &one, &one, 1, NULL, &logit, 1, NULL, NULL), "options",
                  "gpt4all_embed refuses NULL options");
}

typedef struct watcher {
    gpt4all_model *model;
    int calls;
    int32_t answer;
    gpt4all_status busy;
} watcher;

static int32_t on_token(int32_t token, const char *text, int64_t text_len, void *payload) {
    watcher *w = payload;
    (void)token;
    w->calls++;
    check(text != NULL && text_len >= 0, "a callback gets a text");
    w->busy = lib.model_free(w->model);
    return w->answer;
}

static void check_generate(gpt4all_model *model) {
    struct {
        gpt4all_generate_options known;
        unsigned char unknown[16];
    } o;
    gpt4all_generate_result result;
    watcher w = {NULL, 0, 0, GPT4ALL_OK};
    int32_t ids[64] = {0}, count = 0, set = 1;
    lib.tokenize(model, "Hello", 5, GPT4ALL_TOKENIZE_ADD_SPECIAL, NULL, ids, 64, &count);
    w.model = model;
    lib.generate_options_init(&o.known, sizeof o);
    lib.generate_result_init(&result, sizeof result);
    o.known.max_tokens = 3;
    o.known.temperature = 0;
    check(lib.generate(model, ids, count, &o.known, on_token, &w, &result) == GPT4ALL_OK, "gpt4all_generate");
    check(w.calls >= 1 && result.prompt_tokens == count && result.completion_tokens <= 3, "a generation is reported");
    check(w.busy == GPT4ALL_ERROR_BUSY, "a model in use cannot be freed");
    w.answer = 1;
    w.calls = 0;
    check(lib.generate(model, ids, count, &o.known, on_token, &w, &result) == GPT4ALL_OK && w.calls == 1 &&
              result.finish_reason == GPT4ALL_FINISH_CANCELLED,
          "a callback stops a generation");
    o.known.cancel = &set;
    check(lib.generate(model, ids, count, &o.known, NULL, NULL, &result) == GPT4ALL_OK &&
              result.finish_reason == GPT4ALL_FINISH_CANCELLED && result.completion_tokens == 0,
          "a flag that is set stops a generation at once");
    o.known.cancel = NULL;
    check_fails(lib.generate(model, ids, 61, &o.known, NULL, NULL, &result), GPT4ALL_ERROR_CONTEXT_OVERFLOW, "61",
                "a prompt over n_ctx - 4 is refused");
    check_invalid(lib.generate(model, NULL, 1, &o.known, NULL, NULL, &result), "tokens",
                  "gpt4all_generate refuses NULL tokens");
    check_invalid(lib.generate(model, ids, 0, &o.known, NULL, NULL, &result), "tokens",
                  "gpt4all_generate refuses no tokens");
    check_invalid(lib.generate(model, ids, count, NULL, NULL, NULL, &result), "options",
                  "gpt4all_generate refuses NULL options");
    check_invalid(lib.generate(model, ids, count, &o.known, NULL, NULL, NULL), "result",
                  "gpt4all_generate refuses a NULL result");
    o.known.n_stop = 1;
    check_invalid(lib.generate(model, ids, count, &o.known, NULL, NULL, &result), "stop",
                  "gpt4all_generate refuses NULL stops");
    o.known.n_stop = 0;
    o.unknown[0] = 1;
    check_invalid(lib.generate(model, ids, count, &o.known, NULL, NULL, &result), "options",
                  "gpt4all_generate refuses unknown options");
}

/* Grammars, biases and log-probabilities: what any library refuses, and what it reports. */

static void check_grammar(gpt4all_model *model) {
    static const char good[] = "root ::= \"yes\" | \"no\"", rootless[] = "answer ::= \"yes\"";
    check(lib.grammar_check(model, good, (int64_t)sizeof good - 1) == GPT4ALL_OK, "gpt4all_grammar_check");
    check_invalid(lib.grammar_check(model, rootless, (int64_t)sizeof rootless - 1), "root",
                  "gpt4all_grammar_check refuses a grammar without a root");
    check_invalid(lib.grammar_check(model, NULL, 1), "grammar", "gpt4all_grammar_check refuses NULL");
    check_invalid(lib.grammar_check(model, good, -1), "grammar_len", "gpt4all_grammar_check refuses length -1");
}

typedef struct report {
    int calls, n_top;
    int32_t answer;
} report;

static int32_t on_logprobs(const gpt4all_token_logprob *chosen, const gpt4all_token_logprob *top, int32_t n_top,
                           void *payload) {
    report *r = payload;
    int32_t i;
    r->calls++;
    r->n_top = n_top;
    check(chosen->logprob <= 0 && chosen->text != NULL && chosen->text_len >= 0, "a token has a log-probability");
    for (i = 1; i < n_top; i++) check(top[i - 1].logprob >= top[i].logprob, "the likeliest token comes first");
    return r->answer;
}

static void check_generate_extras(gpt4all_model *model) {
    gpt4all_generate_options o;
    gpt4all_generate_result result;
    gpt4all_token_bias bias;
    gpt4all_string grammar = {"answer ::= \"yes\"", 16};
    report r = {0, 0, 0};
    int32_t ids[64] = {0}, count = 0;
    lib.tokenize(model, "Hello", 5, GPT4ALL_TOKENIZE_ADD_SPECIAL, NULL, ids, 64, &count);
    lib.generate_options_init(&o, sizeof o);
    lib.generate_result_init(&result, sizeof result);
    o.max_tokens = 3;
    o.temperature = 0;
    o.logprobs = on_logprobs;
    o.logprobs_payload = &r;
    o.n_top_logprobs = 2;
    check(lib.generate(model, ids, count, &o, NULL, NULL, &result) == GPT4ALL_OK, "a generation with logprobs");
    check(r.calls == result.completion_tokens && r.n_top == 2, "every completion token is reported once");
    r.calls = 0;
    r.answer = 1;
    check(lib.generate(model, ids, count, &o, NULL, NULL, &result) == GPT4ALL_OK && r.calls == 1 &&
              result.finish_reason == GPT4ALL_FINISH_CANCELLED,
          "a logprobs callback stops a generation");
    o.logprobs = NULL;
    o.n_top_logprobs = -1;
    check_invalid(lib.generate(model, ids, count, &o, NULL, NULL, &result), "n_top_logprobs", "n_top_logprobs -1");
    o.n_top_logprobs = 0;
    o.reserved = 1;
    check_invalid(lib.generate(model, ids, count, &o, NULL, NULL, &result), "reserved", "reserved 1");
    o.reserved = 0;
    o.n_logit_bias = 1;
    check_invalid(lib.generate(model, ids, count, &o, NULL, NULL, &result), "logit_bias", "NULL biases");
    bias.token = -1;
    bias.bias = 1.0F;
    o.logit_bias = &bias;
    check_invalid(lib.generate(model, ids, count, &o, NULL, NULL, &result), "logit_bias", "a bias of token -1");
    o.n_logit_bias = 0;
    o.grammar = &grammar;
    check_invalid(lib.generate(model, ids, count, &o, NULL, NULL, &result), "root", "a grammar without a root");
    grammar.length = -1;
    check_invalid(lib.generate(model, ids, count, &o, NULL, NULL, &result), "grammar", "a grammar of length -1");
}

static int32_t stop_load(float fraction, void *payload) {
    check(fraction >= 0.0F && fraction <= 1.0F, "progress is from 0 to 1");
    ++*(int *)payload;
    return 1;
}

static void check_memory(const char *path) {
    gpt4all_load_options o;
    gpt4all_memory_need needs[16];
    int32_t count = 0;
    lib.load_options_init(&o, sizeof o);
    o.n_ctx = 64;
    o.use_mmap = 0; /* what stays mapped is not counted */
    check(lib.model_memory(path, &o, needs, 16, &count) == GPT4ALL_OK && count == 1, "gpt4all_model_memory");
    check(needs[0].device == -1 && needs[0].n_layers > 0 && needs[0].weights > 0 && needs[0].context > 0 &&
              needs[0].compute > 0 && needs[0].memory_total >= needs[0].memory_free,
          "without a device, all of it is in main memory");
    check_fails(lib.model_memory(path, &o, NULL, 0, &count), GPT4ALL_ERROR_BUFFER_TOO_SMALL, "",
                "gpt4all_model_memory without a buffer");
    check(count == 1, "gpt4all_model_memory tells the size it needs");
    check_fails(lib.model_memory(missing_file, &o, needs, 16, &count), GPT4ALL_ERROR_MODEL_LOAD, "missing.gguf",
                "gpt4all_model_memory names a missing file");
    check_invalid(lib.model_memory(NULL, &o, needs, 16, &count), "path", "gpt4all_model_memory refuses a NULL path");
    check_invalid(lib.model_memory(path, NULL, needs, 16, &count), "options",
                  "gpt4all_model_memory refuses NULL options");
    check_invalid(lib.model_memory(path, &o, NULL, 16, &count), "needs", "gpt4all_model_memory refuses NULL needs");
    check_invalid(lib.model_memory(path, &o, needs, -1, &count), "capacity",
                  "gpt4all_model_memory refuses a negative capacity");
    check_invalid(lib.model_memory(path, &o, needs, 16, NULL), "count", "gpt4all_model_memory refuses a NULL count");
    o.n_ctx = -1;
    check_invalid(lib.model_memory(path, &o, needs, 16, &count), "n_ctx", "gpt4all_model_memory refuses n_ctx -1");
}

static void check_model(const char *path) {
    gpt4all_load_options o;
    gpt4all_model *model = NULL;
    int calls = 0;
    lib.load_options_init(&o, sizeof o);
    o.n_ctx = 64;
    o.n_threads = o.n_threads_batch = 2;
    o.progress = stop_load;
    o.progress_payload = &calls;
    check_fails(lib.model_load(path, &o, &model), GPT4ALL_ERROR_CANCELLED, "", "the progress callback stops a load");
    check(calls == 1 && model == NULL, "a stopped load is over at once");
    o.progress = NULL;
    check(lib.model_load(path, &o, &model) == GPT4ALL_OK && model != NULL, "gpt4all_model_load");
    if (model == NULL) return;
    check_model_calls(model);
    check_memory(path);
    check_text(model);
    check_parts(model);
    check_chat(model);
    check_generate(model);
    check_grammar(model);
    check_generate_extras(model);
    check(lib.model_free(model) == GPT4ALL_OK, "gpt4all_model_free");
}

/* How the model goes on, without chance. */

static int32_t print_token(int32_t token, const char *text, int64_t text_len, void *payload) {
    (void)token;
    (void)payload;
    fwrite(text, 1, (size_t)text_len, stdout);
    return 0;
}

static void print_completion(const char *path, const char *text) {
    gpt4all_load_options load;
    gpt4all_generate_options o;
    gpt4all_generate_result result;
    gpt4all_model *model = NULL;
    int32_t ids[64] = {0}, count = 0;
    lib.load_options_init(&load, sizeof load);
    lib.generate_options_init(&o, sizeof o);
    lib.generate_result_init(&result, sizeof result);
    load.n_ctx = 128;
    o.max_tokens = 8;
    o.temperature = 0;
    check(lib.model_load(path, &load, &model) == GPT4ALL_OK, "a model is loaded to go on with a text");
    if (model == NULL) return;
    check(lib.tokenize(model, text, (int64_t)strlen(text), GPT4ALL_TOKENIZE_ADD_SPECIAL, NULL, ids, 64, &count) ==
              GPT4ALL_OK,
          "a text of the user's is tokenised");
    printf("%s\n%s", lib.cpu_info(), text);
    check(lib.generate(model, ids, count, &o, print_token, NULL, &result) == GPT4ALL_OK, "a text goes on");
    printf("\n");
    check(lib.model_free(model) == GPT4ALL_OK, "the model that went on is freed");
}

#ifdef _WIN32
/* Windows gives main() its arguments in the code page of the system, which lacks most characters. */
static char **arguments_as_utf8(int *argc) {
    WCHAR **wide = CommandLineToArgvW(GetCommandLineW(), argc);
    char **argv = calloc((size_t)*argc + 1, sizeof *argv);
    int i;
    for (i = 0; i < *argc; i++) {
        int size = WideCharToMultiByte(CP_UTF8, 0, wide[i], -1, NULL, 0, NULL, NULL);
        argv[i] = malloc((size_t)size);
        WideCharToMultiByte(CP_UTF8, 0, wide[i], -1, argv[i], size, NULL, NULL);
    }
    return argv;
}
#endif

int main(int argc, char **argv) {
#ifdef _WIN32
    argv = arguments_as_utf8(&argc);
#endif
    if (argc == 2 && strcmp(argv[1], "--layout") == 0) {
        print_option_structs();
        print_result_structs();
        print_constants();
        return 0;
    }
    if (argc < 2 || argc > 4) {
        fprintf(stderr, "usage: %s --layout | LIBRARY [MODEL [TEXT]]\n", argv[0]);
        return 2;
    }
    if (!open_library(argv[1])) return 2;
    check_library();
    check_defaults();
    check_devices();
    check_load();
    check_load_structs();
    check_null_model();
    if (argc >= 3) check_model(argv[2]);
    if (argc == 4) print_completion(argv[2], argv[3]);
    printf("%d checks, %d failed\n", n_checks, n_failed);
    return n_failed == 0 ? 0 : 1;
}
