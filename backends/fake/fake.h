/*
 * fake.h - what the parts of the fake share
 *
 * The fake is the ABI of gpt4all_backend.h without an engine, for fast tests:
 * loading, devices, gates and failures on demand. It keeps the header's whole
 * contract but for what needs an engine or the memory of one: it holds one
 * context, whose beginning is used again. What a model would say comes from a
 * script; see script.c.
 */
#ifndef GPT4ALL_FAKE_H
#define GPT4ALL_FAKE_H

#include "gpt4all_backend.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TOKEN_BEGIN = 0, TOKEN_END = 1, TOKEN_UNKNOWN = 2, TOKEN_FIRST_BYTE = 3, TOKEN_FIRST_SCRIPTED = 259 };

/* Marks in the list of generated tokens; ids are never negative. */
enum { STEP_TURN = -1, STEP_ECHO = -2 };

enum { SMALLEST_CONTEXT = 8, MOST_DEVICES = 16 };

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

typedef struct placement {
    int32_t n_layers;             /* with the output */
    int32_t layers[MOST_DEVICES]; /* on each device */
    int32_t n_offloaded;          /* on all of them */
    int32_t device;               /* of the output, else of the first with layers; -1 for none */
} placement;

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
    int32_t next_token; /* what the last logits favour */
};

/* errors.c */
__attribute__((format(printf, 2, 3))) gpt4all_status fail(gpt4all_status status, const char *format, ...);
void forget_error(void);
gpt4all_status null_argument(const char *name);
gpt4all_status out_of_memory(void);
gpt4all_status check_struct(const void *given, size_t known, const char *name);
/* `ours` already holds the defaults. */
gpt4all_status read_struct(void *ours, size_t known, const void *given, const char *name);
void write_struct(void *given, const void *ours, size_t known);
gpt4all_status init_struct(void *given, uint64_t size, const void *defaults, size_t known, const char *name);

/* library.c */
extern const gpt4all_device_info devices[];
extern const int32_t n_devices;
extern const gpt4all_status fixed_load_status;
gpt4all_status need_init(void);
gpt4all_status check_device_index(const char *name, int32_t index, int32_t lowest);

/* log.c */
void log_bytes(int32_t level, const char *text, size_t length);
__attribute__((format(printf, 1, 2))) void log_call(const char *format, ...);

/* script.c */
gpt4all_status parse_script(gpt4all_model *model, const char *path, const bytes *file);

/* placement.c */
/* NULL, or what is wrong with the options for several GPUs. */
const char *split_problem(const gpt4all_load_options *options);
placement place_layers(const gpt4all_load_options *options, int32_t n_layers);
gpt4all_memory_need need_on(const gpt4all_model *model, int32_t device);

/* model.c */
/* The context belongs to one call at a time. */
gpt4all_status occupy(gpt4all_model *model);
void release(gpt4all_model *model);

/* text.c */
text_view text_of_token(const gpt4all_model *model, int32_t token);
bool is_control(const gpt4all_model *model, int32_t token);
gpt4all_status check_tokens(const gpt4all_model *model, const int32_t *tokens, int32_t n_tokens);

/* gates.c */
bool is_set(const int32_t *flag);
int64_t now_us(void);
/* Waits in slices; true when the flag was set meanwhile. */
bool pause_unless(const int32_t *flag, int64_t duration_us);
gpt4all_status wait_for_flag(const int32_t *flag);

#endif
