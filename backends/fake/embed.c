/* Embeddings, in batches that a script may delay, stop or fail. */
#include "fake.h"

#include <math.h>
#include <stdlib.h>

static const gpt4all_embed_options embed_defaults = {.normalize = 1};

gpt4all_status gpt4all_embed_options_init(gpt4all_embed_options *options, uint64_t size) {
    return init_struct(options, size, &embed_defaults, sizeof embed_defaults, "options");
}

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
