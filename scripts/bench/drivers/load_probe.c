/*
 * load_probe.c - what llama-bench does before its first token, with the clock on it
 *
 *     load_probe MODEL N_CTX N_BATCH N_THREADS N_PROMPT N_TOKENS
 *
 * Prints one line of JSON: the seconds to load the model and make a context
 * and its threads, and the resident memory (bytes) after that, after a prompt
 * and some tokens, and at its highest.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ggml-backend.h"
#include "ggml-cpu.h"
#include "llama.h"

enum { N_MOST_TOKENS = 1 << 16 };

static double now(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double) at.tv_sec + (double) at.tv_nsec * 1e-9;
}

static long long status_bytes(const char *key) {
    FILE *file = fopen("/proc/self/status", "r");
    char line[256];
    long long kilobytes = -1;
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, key, strlen(key)) == 0) kilobytes = atoll(line + strlen(key) + 1);
    }
    if (file != NULL) fclose(file);
    return kilobytes * 1024;
}

static void quiet(enum ggml_log_level level, const char *text, void *payload) {
    (void) level;
    (void) text;
    (void) payload;
}

static void decode(struct llama_context *context, llama_token *tokens, int n) {
    if (llama_decode(context, llama_batch_get_one(tokens, n)) != 0) {
        fprintf(stderr, "load_probe: decoding failed\n");
        exit(1);
    }
    llama_synchronize(context);
}

int main(int argc, char **argv) {
    if (argc != 7) {
        fprintf(stderr, "usage: load_probe MODEL N_CTX N_BATCH N_THREADS N_PROMPT N_TOKENS\n");
        return 2;
    }
    const int n_ctx = atoi(argv[2]), n_batch = atoi(argv[3]), n_threads = atoi(argv[4]);
    const int n_prompt = atoi(argv[5]), n_tokens = atoi(argv[6]);

    if (n_prompt > N_MOST_TOKENS) return 2;

    const double started = now();
    ggml_backend_load_all();
    llama_log_set(quiet, NULL);
    llama_backend_init();
    struct llama_model *model = llama_model_load_from_file(argv[1], llama_model_default_params());
    if (model == NULL) {
        fprintf(stderr, "load_probe: cannot load %s\n", argv[1]);
        return 1;
    }
    struct llama_context_params params = llama_context_default_params();
    params.n_ctx = (uint32_t) n_ctx;
    params.n_batch = params.n_ubatch = (uint32_t) n_batch;
    params.n_threads = params.n_threads_batch = n_threads;
    struct llama_context *context = llama_init_from_model(model, params);
    struct ggml_threadpool_params pool_params = ggml_threadpool_params_default(n_threads);
    struct ggml_threadpool *pool = ggml_threadpool_new(&pool_params);
    if (context == NULL || pool == NULL) {
        fprintf(stderr, "load_probe: no context\n");
        return 1;
    }
    llama_attach_threadpool(context, pool, NULL);
    const double loaded = now();
    const long long rss_loaded = status_bytes("VmRSS");

    static llama_token tokens[N_MOST_TOKENS + 1];
    for (int i = 0; i < n_prompt; i++) tokens[i] = 1000 + i % 1000;
    for (int done = 0; done < n_prompt; done += n_batch) {
        decode(context, tokens + done, n_prompt - done < n_batch ? n_prompt - done : n_batch);
    }
    for (int i = 0; i < n_tokens; i++) decode(context, tokens, 1);

    printf("{\"load_seconds\": %.6f, \"rss_loaded\": %lld, \"rss\": %lld, \"peak_rss\": %lld}\n", loaded - started,
           rss_loaded, status_bytes("VmRSS"), status_bytes("VmHWM"));
    fflush(stdout);
    llama_free(context);
    ggml_threadpool_free(pool);
    llama_model_free(model);
    return 0;
}
