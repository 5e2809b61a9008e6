/* Generation: what the script says, token by token. */
#include "fake.h"
#include "shown_text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_TOP_LOGPROBS = 1000, CONTEXT_RESERVE = 4 };

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

gpt4all_status gpt4all_generate_options_init(gpt4all_generate_options *options, uint64_t size) {
    return init_struct(options, size, &generate_defaults, sizeof generate_defaults, "options");
}

gpt4all_status gpt4all_generate_result_init(gpt4all_generate_result *result, uint64_t size) {
    static const gpt4all_generate_result zero;
    return init_struct(result, size, &zero, sizeof zero, "result");
}

/* One call's state */

typedef struct generation {
    gpt4all_model *model;
    gpt4all_generate_options options;
    gpt4all_generate_result result;
    gpt4all_token_callback callback;
    void *payload;
    int32_t *plan; /* what this call's turn generates; repeated when it is over */
    size_t n_plan;
    shown_text *text;
    bool done;
    bool refused; /* a callback wanted no more */
} generation;

static bool pause_or_cancel(const generation *g, int64_t duration_us) {
    return pause_unless(g->options.cancel, duration_us);
}

static gpt4all_status wait_for_cancel(const generation *g) { return wait_for_flag(g->options.cancel); }

static void finish(generation *g, int32_t reason) {
    g->result.finish_reason = reason;
    g->done = true;
}

/* Checks */

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
    if (!isfinite(o->presence_penalty))
        return fail(bad, "presence_penalty %g is not finite", (double)o->presence_penalty);
    if (!isfinite(o->frequency_penalty))
        return fail(bad, "frequency_penalty %g is not finite", (double)o->frequency_penalty);
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

/* The script of this call */

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

/* The context */

/* How many leading ones of these tokens need not be computed again. */
static int32_t reusable_prefix(const gpt4all_model *model, const int32_t *tokens, int32_t n_tokens) {
    int32_t n = 0;
    while (n < model->n_reusable && n < n_tokens && model->memory[n] == tokens[n]) n++;
    return n;
}

/* Drops the older half of what need not be kept. */
static void shift_context(generation *g) {
    gpt4all_model *model = g->model;
    int32_t keep = g->options.n_keep < g->result.prompt_tokens ? g->options.n_keep : g->result.prompt_tokens;
    int32_t dropped = (model->n_memory - keep) / 2;
    model->n_memory -= dropped;
    memmove(model->memory + keep, model->memory + keep + dropped,
            (size_t)(model->n_memory - keep) * sizeof *model->memory);
    /* Shifted tokens were computed in sight of some that are gone. */
    if (model->n_reusable > keep) model->n_reusable = keep;
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
    /* The last one is always computed, for its logits. */
    if (g->options.reuse_prefix) g->result.cached_tokens = reusable_prefix(model, tokens, n_tokens - 1);
    model->n_memory = model->n_reusable = g->result.cached_tokens;
    model->next_token = -1;
    for (int64_t batch = 0; model->n_memory < n_tokens; batch++) {
        gpt4all_status status = batch == model->wait_cancel_in_prompt ? wait_for_cancel(g) : GPT4ALL_OK;
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

/* Text */

static void refuse(generation *g) {
    g->refused = true;
    finish(g, GPT4ALL_FINISH_CANCELLED);
}

static void deliver(generation *g, int32_t token) {
    int64_t length;
    const char *text = shown_text_take(g->text, &length);
    if (g->callback != NULL && g->callback(token, text, length, g->payload) != 0) refuse(g);
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

static void take_token(generation *g, int32_t token) {
    if (!report_logprobs(g, token)) {
        refuse(g);
        return;
    }
    const text_view text = text_of_token(g->model, token);
    g->result.completion_tokens++;
    if (shown_text_feed(g->text, text.data, text.length))
        finish(g, GPT4ALL_FINISH_STOP);
    else if (g->result.completion_tokens == g->options.max_tokens) {
        shown_text_finish(g->text);
        finish(g, GPT4ALL_FINISH_LENGTH);
    }
    deliver(g, token);
}

/* The loop */

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
    if (token != TOKEN_END) {
        take_token(g, token);
        return GPT4ALL_OK;
    }
    finish(g, GPT4ALL_FINISH_STOP);
    shown_text_finish(g->text);
    deliver(g, token);
    return GPT4ALL_OK;
}

static gpt4all_status run(generation *g, const int32_t *tokens, int32_t n_tokens) {
    gpt4all_status status = make_plan(g, tokens, n_tokens);
    if (status != GPT4ALL_OK) return status;
    g->text = shown_text_new(g->options.stop, g->options.n_stop);
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
    if (status == GPT4ALL_OK && g->result.finish_reason == GPT4ALL_FINISH_CANCELLED && !g->refused &&
        shown_text_finish(g->text))
        deliver(g, -1);
    g->result.completion_us = now_us() - start;
    return status;
}

static void log_generate(const gpt4all_model *model, int32_t n_tokens, const gpt4all_generate_options *o) {
    if (!model->log_calls) return;
    log_call("generate n_tokens=%d max_tokens=%d n_batch=%d top_k=%d temperature=%g top_p=%g min_p=%g "
             "repeat_penalty=%g repeat_last_n=%d presence_penalty=%g frequency_penalty=%g seed=%u reuse_prefix=%d "
             "n_keep=%d keep_context=%d "
             "n_stop=%lld cancel=%d",
             (int)n_tokens, (int)o->max_tokens, (int)o->n_batch, (int)o->top_k, (double)o->temperature,
             (double)o->top_p, (double)o->min_p, (double)o->repeat_penalty, (int)o->repeat_last_n,
             (double)o->presence_penalty, (double)o->frequency_penalty, (unsigned)o->seed, (int)o->reuse_prefix,
             (int)o->n_keep, (int)o->keep_context, (long long)o->n_stop, o->cancel != NULL);
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
    shown_text_free(g.text);
    write_struct(result, &g.result, sizeof g.result);
    return status;
}

/* A request is computed when it is first read, by itself. It keeps the caller's pointers. */
struct gpt4all_request {
    gpt4all_model *model;
    int32_t *tokens;
    int32_t n_tokens;
    gpt4all_generate_options options;
    gpt4all_generate_result result;
    gpt4all_status status;
    int32_t stopped; /* where the caller has no flag */
    bool over;
};

gpt4all_status gpt4all_request_start(gpt4all_model *model, const int32_t *tokens, int32_t n_tokens,
                                     const gpt4all_generate_options *options, gpt4all_request **request) {
    forget_error();
    if (request == NULL) return null_argument("request");
    *request = NULL;
    if (model == NULL) return null_argument("model");
    gpt4all_generate_options known = generate_defaults;
    gpt4all_status status = read_struct(&known, sizeof known, options, "options");
    if (status == GPT4ALL_OK) status = check_generate_options(&known);
    if (status == GPT4ALL_OK) status = check_constraints(model, &known);
    if (status == GPT4ALL_OK) status = check_prompt(model, tokens, n_tokens);
    if (status != GPT4ALL_OK) return status;
    gpt4all_request *made = calloc(1, sizeof *made);
    int32_t *copy = malloc((size_t)n_tokens * sizeof *copy);
    if (made == NULL || copy == NULL) {
        free(made);
        free(copy);
        return fail(GPT4ALL_ERROR_OUT_OF_MEMORY, "not enough memory");
    }
    memcpy(copy, tokens, (size_t)n_tokens * sizeof *copy);
    *made = (gpt4all_request){.model = model, .tokens = copy, .n_tokens = n_tokens, .options = known};
    if (made->options.cancel == NULL) made->options.cancel = &made->stopped;
    *request = made;
    return GPT4ALL_OK;
}

gpt4all_status gpt4all_request_read(gpt4all_request *request, int64_t timeout_us, gpt4all_token_callback callback,
                                    void *payload, gpt4all_generate_result *result) {
    forget_error();
    (void)timeout_us;
    if (request == NULL) return null_argument("request");
    gpt4all_status status = check_struct(result, sizeof *result, "result");
    if (status != GPT4ALL_OK) return status;
    if (!request->over) {
        request->over = true;
        request->result.struct_size = sizeof request->result;
        request->status = gpt4all_generate(request->model, request->tokens, request->n_tokens, &request->options,
                                           callback, payload, &request->result);
    }
    write_struct(result, &request->result, sizeof request->result);
    return request->status;
}

gpt4all_status gpt4all_request_cancel(gpt4all_request *request) {
    forget_error();
    if (request == NULL) return null_argument("request");
    /* The caller's flag is the only one that pauses look at. */
    *(int32_t *)(uintptr_t)request->options.cancel = 1;
    return GPT4ALL_OK;
}

gpt4all_status gpt4all_request_free(gpt4all_request *request) {
    forget_error();
    if (request != NULL) free(request->tokens);
    free(request);
    return GPT4ALL_OK;
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
