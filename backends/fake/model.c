/* Models: loaded, measured, described and freed. */
#include "fake.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_THREADS = 512, MOST_SEQUENCES = 256 };

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
    .n_sequences = 1,
};

gpt4all_status gpt4all_load_options_init(gpt4all_load_options *options, uint64_t size) {
    return init_struct(options, size, &load_defaults, sizeof load_defaults, "options");
}

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
    if (options->n_sequences < 1 || options->n_sequences > MOST_SEQUENCES)
        return fail(bad, "n_sequences %d is not from 1 to %d", (int)options->n_sequences, (int)MOST_SEQUENCES);
    if (options->reserved != 0) return fail(bad, "reserved is not 0");
    if (options->prefix_cache_bytes < 0)
        return fail(bad, "prefix_cache_bytes %lld is negative", (long long)options->prefix_cache_bytes);
    if (options->main_gpu < 0) return fail(bad, "main_gpu %d is negative", (int)options->main_gpu);
    status = check_device_index("device", options->device, -1);
    if (status != GPT4ALL_OK) return status;
    const char *problem = split_problem(options);
    return problem == NULL ? GPT4ALL_OK : fail(bad, "%s", problem);
}

static void destroy(gpt4all_model *model) {
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
    model->placed = place_layers(options, (int32_t)model->n_layer + 1);
    return GPT4ALL_OK;
}

static gpt4all_status load_into(gpt4all_model *model, const char *path, const gpt4all_load_options *options) {
    gpt4all_status status = read_model(model, path, options);
    if (status != GPT4ALL_OK) return status;
    log_load(model, path, options);
    status = report_progress(model, options);
    if (status != GPT4ALL_OK) return status;
    if (fixed_load_status != GPT4ALL_OK) return fail(fixed_load_status, "this fake was compiled to fail here");
    if (model->load_failure.status != GPT4ALL_OK)
        return fail(model->load_failure.status, "%s", model->load_failure.message);
    model->n_batch = options->n_batch;
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
        for (int32_t device = -1; device < n_devices; device++) {
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

gpt4all_status occupy(gpt4all_model *model) {
    int idle = 0;
    if (atomic_compare_exchange_strong(&model->busy, &idle, 1)) return GPT4ALL_OK;
    return fail(GPT4ALL_ERROR_BUSY, "another call is using the model");
}

void release(gpt4all_model *model) { atomic_store(&model->busy, 0); }

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
    for (int32_t device = 0; device < n_devices; device++) {
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
