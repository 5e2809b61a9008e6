/*
 * gpt4all_backend.h - the C interface between the Python package and a backend
 *
 * One shared library per backend (cpu, kompute, cuda, metal) implements this
 * header and exports nothing else. The package loads one with ctypes.
 *
 *     gpt4all_load_options load = {0};
 *     gpt4all_generate_options opts = {0};
 *     gpt4all_generate_result result = {0};
 *     gpt4all_model *model = NULL;
 *     int32_t ids[256], n = 0;
 *
 *     if (gpt4all_abi_version() != GPT4ALL_ABI_VERSION) return 1;
 *     if (gpt4all_init() != GPT4ALL_OK) goto failed;
 *     gpt4all_load_options_init(&load, sizeof load);
 *     if (gpt4all_model_load("model.gguf", &load, &model) != GPT4ALL_OK) goto failed;
 *     gpt4all_tokenize(model, "Hello", 5, GPT4ALL_TOKENIZE_ADD_SPECIAL, NULL, ids, 256, &n);
 *     gpt4all_generate_options_init(&opts, sizeof opts);
 *     gpt4all_generate_result_init(&result, sizeof result);
 *     if (gpt4all_generate(model, ids, n, &opts, on_token, NULL, &result) != GPT4ALL_OK) goto failed;
 *     gpt4all_model_free(model);
 *     return 0;
 * failed:
 *     fprintf(stderr, "%s\n", gpt4all_last_error());
 *
 * Threads. Different models may be used from different threads at once. One
 * model takes one call at a time; a second call that would need its context
 * gets GPT4ALL_ERROR_BUSY at once and does no harm. gpt4all_tokenize and
 * gpt4all_tokenize_parts, gpt4all_detokenize, gpt4all_chat_render, gpt4all_chat_prepare,
 * gpt4all_grammar_check and gpt4all_model_get_info may run beside any call but gpt4all_model_free. Setting a call's
 * cancel flag is allowed from anywhere.
 *
 * Errors. Every function that can fail returns a gpt4all_status. The message
 * of a thread's last failure is kept until that thread's next call. No C++
 * exception ever leaves a function, and none may leave a callback: thrown by
 * another C++ runtime than the library's own it ends the process.
 *
 * Structs. The caller sets struct_size through the init function, which also
 * fills in the defaults. A caller built against an older, shorter struct gets
 * the defaults of the newer fields; a longer struct is accepted only if the
 * bytes this library does not know are all zero.
 *
 * Strings are UTF-8. Those that may hold NUL come with a length in bytes.
 */
#ifndef GPT4ALL_BACKEND_H
#define GPT4ALL_BACKEND_H

#include <stdint.h>

#if defined(_WIN32)
#define GPT4ALL_API __declspec(dllexport)
#else
#define GPT4ALL_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Compared for equality: the package and its libraries ship together. */
#define GPT4ALL_ABI_VERSION 5

typedef int32_t gpt4all_status;
enum {
    GPT4ALL_OK = 0,
    GPT4ALL_ERROR_INTERNAL = -1,         /* a failure nobody foresaw */
    GPT4ALL_ERROR_INVALID_ARGUMENT = -2, /* the message names the argument */
    GPT4ALL_ERROR_OUT_OF_MEMORY = -3,
    GPT4ALL_ERROR_MODEL_LOAD = -4,        /* the file cannot be loaded */
    GPT4ALL_ERROR_UNSUPPORTED_MODEL = -5, /* the model cannot do what was asked */
    GPT4ALL_ERROR_CONTEXT_OVERFLOW = -6,  /* the prompt does not fit the context */
    GPT4ALL_ERROR_DECODE = -7,            /* the engine failed while computing */
    GPT4ALL_ERROR_CANCELLED = -8,         /* a callback or the cancel flag stopped the call */
    GPT4ALL_ERROR_BUSY = -9,              /* another call is using the model */
    GPT4ALL_ERROR_UNSUPPORTED_CPU = -10,  /* no CPU module fits this processor */
    GPT4ALL_ERROR_BUFFER_TOO_SMALL = -11, /* the needed size was written to the count */
    GPT4ALL_ERROR_TEMPLATE = -12,         /* a chat template is broken, fails, or refuses the conversation */
    GPT4ALL_ERROR_INVALID_MODEL = -13     /* the file is damaged: its parts contradict each other */
};

/* A loaded model with its context. Made by gpt4all_model_load, owned by the
 * caller, given back with gpt4all_model_free. */
typedef struct gpt4all_model gpt4all_model;

/* A generation that is queued, under way or over. Made by gpt4all_request_start,
 * owned by the caller. */
typedef struct gpt4all_request gpt4all_request;

/* A conversation prepared with tools: format, grammar, triggers, stops and
 * parser of the answer. Made by gpt4all_chat_prepare, owned by the caller. It
 * belongs to the model it was prepared for, does not keep it, and may be used
 * from several threads at once. */
typedef struct gpt4all_chat gpt4all_chat;

enum { GPT4ALL_LOG_DEBUG = 0, GPT4ALL_LOG_INFO = 1, GPT4ALL_LOG_WARNING = 2, GPT4ALL_LOG_ERROR = 3 };

/* One log line without its line end. `text` is valid during the call. May be
 * called from any thread that is inside this library. */
typedef void (*gpt4all_log_callback)(int32_t level, const char *text, int64_t text_len, void *payload);

/* Load progress from 0.0 to 1.0, on the loading thread. Non-zero stops the load. */
typedef int32_t (*gpt4all_progress_callback)(float fraction, void *payload);

/* One sampled token, on the generating thread. `text` is valid during the
 * call. It never ends inside a UTF-8 character that may still be completed,
 * nor inside a possible stop string, so it may be empty and later longer; text
 * held back when the model ends its turn comes with the end token's id, and
 * when no token ends it (the flag, a context without room), with -1.
 * Non-zero ends the generation, without another call; what was delivered stays
 * delivered. */
typedef int32_t (*gpt4all_token_callback)(int32_t token, const char *text, int64_t text_len, void *payload);

/* A token and the natural logarithm of its probability, -9999 at least. `text`
 * is its bytes, which may end inside a character; control tokens have theirs. */
typedef struct gpt4all_token_logprob {
    int32_t token;
    float logprob;
    const char *text; /* valid during the call */
    int64_t text_len;
} gpt4all_token_logprob;

/* What the model itself gave a token it is about to deliver, before biases,
 * penalties, grammar and temperature, and its `n_top` likeliest tokens, the
 * likeliest first. Once for every completion token, before its token callback.
 * Non-zero ends the generation. */
typedef int32_t (*gpt4all_logprobs_callback)(const gpt4all_token_logprob *chosen, const gpt4all_token_logprob *top,
                                             int32_t n_top, void *payload);

/* Bytes the caller owns and keeps alive during the call. */
typedef struct gpt4all_string {
    const char *data;
    int64_t length;
} gpt4all_string;

/* One stretch of a rendered conversation, in order; `text` is valid during the
 * call. `from_message` is non-zero where it came out of a message or a string
 * argument and not out of the template: what looks like a control token there
 * is plain text. Non-zero ends the rendering, which is no failure. */
typedef int32_t (*gpt4all_part_callback)(const char *text, int64_t text_len, int32_t from_message, void *payload);

/* A stretch of text the caller owns; control tokens in it count or not. */
typedef struct gpt4all_text_part {
    const char *data;
    int64_t length;
    int32_t parse_special;
    int32_t reserved; /* 0 */
} gpt4all_text_part;

/* A software GPU is a GPU's interface computed by the processor. */
enum {
    GPT4ALL_DEVICE_CPU = 0,
    GPT4ALL_DEVICE_GPU = 1,
    GPT4ALL_DEVICE_INTEGRATED_GPU = 2,
    GPT4ALL_DEVICE_OTHER = 3,
    GPT4ALL_DEVICE_SOFTWARE_GPU = 4
};

typedef struct gpt4all_device_info {
    uint32_t struct_size;
    int32_t type;         /* GPT4ALL_DEVICE_* */
    int64_t memory_total; /* bytes; 0 where unknown */
    int64_t memory_free;
    const char *name;        /* the engine's name, "CPU" or "Vulkan0"; the library owns the strings */
    const char *description; /* the product's name */
    const char *id;          /* PCI address, "0000:01:00.0"; "" where unknown */
    const char *api;         /* what drives it: "CPU", "Vulkan", "CUDA", "MTL" */
} gpt4all_device_info;

typedef struct gpt4all_load_options {
    uint32_t struct_size;
    int32_t n_ctx;             /* tokens; 0 is the model's trained length */
    int32_t n_batch;           /* most tokens computed at once, sizes the work buffers */
    int32_t n_threads;         /* for single tokens */
    int32_t n_threads_batch;   /* for prompts */
    int32_t n_gpu_layers;      /* layers on the GPU, the output counts as one; 0 leaves the GPU alone */
    int32_t device;            /* index for gpt4all_device_get_info; -1 is the CPU, and no GPU is touched */
    int32_t main_gpu;          /* which GPU has the output with tensor_split; the last one if it has no share */
    int32_t flash_attention;   /* -1 where it helps, 0 never, 1 always */
    int32_t use_mmap;          /* 0 reads the file into memory */
    const char *kv_type;       /* type of the KV cache, "f16" where NULL */
    const float *tensor_split; /* share of each GPU in the devices' order, instead of all on `device`; may be NULL */
    int64_t n_tensor_split;
    int64_t prefix_cache_bytes;         /* main memory for displaced contexts marked keep_context, and checkpoints */
    gpt4all_progress_callback progress; /* may be NULL */
    void *progress_payload;
    int32_t n_sequences; /* generations computed together; each has n_ctx tokens */
    int32_t reserved;    /* 0 */
} gpt4all_load_options;

/* Kinds of model, combined in gpt4all_model_info.traits. */
enum {
    GPT4ALL_TRAIT_ENCODER = 1,   /* has an encoder */
    GPT4ALL_TRAIT_DECODER = 2,   /* has a decoder: can generate unless another trait forbids it */
    GPT4ALL_TRAIT_RECURRENT = 4, /* keeps a state that cannot be rolled back */
    GPT4ALL_TRAIT_EMBEDDING = 8, /* made for embeddings */
    GPT4ALL_TRAIT_DIFFUSION = 16,
    GPT4ALL_TRAIT_CAN_SHIFT = 32 /* old tokens can be dropped without decoding the rest again */
};

typedef struct gpt4all_model_info {
    uint32_t struct_size;
    int32_t traits;
    int32_t n_ctx; /* the context this handle was given */
    int32_t n_ctx_train;
    int32_t n_vocab;
    int32_t n_embd;
    int32_t n_layer;
    int32_t token_bos; /* -1 where the vocabulary has none */
    int32_t token_eos;
    int32_t add_bos; /* whether the model wants token_bos in front */
    int64_t n_params;
    int64_t weights_bytes;
    const char *architecture; /* the model owns the strings; "" where the file says nothing */
    const char *description;
    const char *quantization;
    const char *name;
    const char *chat_template;
    int32_t n_layers_offloaded; /* on GPUs, of n_layer + 1: the output counts as one */
    int32_t device;             /* index of the GPU with the output, else of the first that holds layers; -1 for none */
    int64_t device_bytes;       /* what weights, context and work buffers take on GPUs */
    int32_t n_embd_out;         /* numbers in an embedding */
    int32_t pooling;            /* GPT4ALL_POOLING_* */
    int32_t wordpiece;          /* GPT4ALL_WORDPIECE*; 0 for other vocabularies */
    int32_t reserved;           /* 0 */
    const char *basename;
} gpt4all_model_info;

/* How a model makes one vector of a text's tokens. */
enum {
    GPT4ALL_POOLING_NONE = 0,
    GPT4ALL_POOLING_MEAN = 1,
    GPT4ALL_POOLING_FIRST = 2,
    GPT4ALL_POOLING_LAST = 3,
    GPT4ALL_POOLING_RANK = 4 /* scores a pair of texts: no embeddings */
};

/* A WordPiece vocabulary, and how its text is to be normalised before it is
 * tokenised here: the engine's own tables are too small for that. */
enum { GPT4ALL_WORDPIECE = 1, GPT4ALL_WORDPIECE_LOWERCASE = 2, GPT4ALL_WORDPIECE_STRIP_ACCENTS = 4 };

/* What a model takes of one memory, in bytes. */
typedef struct gpt4all_memory_need {
    int32_t device;   /* index for gpt4all_device_get_info; -1 is main memory */
    int32_t n_layers; /* of n_layer + 1 */
    int64_t weights;  /* in main memory, without what stays mapped from the file */
    int64_t context;
    int64_t compute;      /* work buffers */
    int64_t memory_total; /* 0 where unknown */
    int64_t memory_free;
} gpt4all_memory_need;

enum {
    GPT4ALL_TOKENIZE_ADD_SPECIAL = 1,  /* add the begin and end tokens the model wants */
    GPT4ALL_TOKENIZE_PARSE_SPECIAL = 2 /* read control tokens written in the text as such */
};

/* Added to the logit of a token; minus infinity bans it. */
typedef struct gpt4all_token_bias {
    int32_t token;
    float bias;
} gpt4all_token_bias;

typedef struct gpt4all_generate_options {
    uint32_t struct_size;
    int32_t max_tokens; /* 0 only computes the prompt */
    int32_t n_batch;    /* prompt tokens computed at once, at most the load option */
    int32_t top_k;      /* 1 is greedy, 0 or less keeps all */
    float temperature;  /* 0 is greedy */
    float top_p;        /* 0 or less keeps one token, 1 or more all */
    float min_p;
    float repeat_penalty;    /* 1 is none; the window includes the prompt */
    int32_t repeat_last_n;   /* tokens; 0 is none, -1 the whole context */
    float presence_penalty;  /* taken off the logit of each token the answer has, prompt and window apart; 0 is none */
    float frequency_penalty; /* the same, once for each time it has it */
    uint32_t seed;
    int32_t reuse_prefix;       /* 0 decodes the whole prompt again */
    int32_t n_keep;             /* leading prompt tokens that survive a full context */
    int32_t keep_context;       /* 1 keeps a copy when another prompt displaces this one's context */
    int32_t render_special;     /* 1 gives control tokens their text, which is empty otherwise */
    const gpt4all_string *stop; /* n_stop texts, any of which ends the generation unseen; may be NULL */
    int64_t n_stop;
    const int32_t *cancel;                /* caller's flag, polled during the call: non-zero stops it; may be NULL */
    const gpt4all_token_bias *logit_bias; /* n_logit_bias of them; may be NULL */
    int64_t n_logit_bias;
    const gpt4all_string *grammar; /* GBNF that the answer keeps to, from its rule "root"; may be NULL */
    /* A reasoning model's thinking, to which the grammar does not apply: it may
     * come first, begins with thinking_open and ends with thinking_close. NULL or
     * empty, the first says that the prompt began it, the second that there is none. */
    const gpt4all_string *thinking_open;
    const gpt4all_string *thinking_close;
    gpt4all_logprobs_callback logprobs; /* may be NULL, and then costs nothing */
    void *logprobs_payload;
    int32_t n_top_logprobs; /* alternatives reported with each token */
    int32_t reserved;       /* 0 */
    /* What the answer keeps to where tools may be called, in place of a grammar
     * and thinking marks. Of this model; may be NULL, and be freed once the
     * generation has begun. */
    const gpt4all_chat *chat;
} gpt4all_generate_options;

enum {
    GPT4ALL_FINISH_STOP = 0,
    GPT4ALL_FINISH_LENGTH = 1,
    GPT4ALL_FINISH_CANCELLED = 2,
    GPT4ALL_FINISH_NOT_YET = 3 /* a request that goes on */
};

typedef struct gpt4all_generate_result {
    uint32_t struct_size;
    int32_t finish_reason; /* GPT4ALL_FINISH_* */
    int32_t prompt_tokens;
    int32_t cached_tokens;     /* of the prompt, not computed again */
    int32_t completion_tokens; /* without the end token */
    int32_t context_shifts;    /* how often the context was full */
    int64_t prompt_us;         /* microseconds */
    int64_t completion_us;
} gpt4all_generate_result;

/* Library */

GPT4ALL_API int32_t gpt4all_abi_version(void);

/* Backend name, llama.cpp version and commit, as "cpu llama.cpp-0.5.0 0c1e570".
 * Static storage. */
GPT4ALL_API const char *gpt4all_build_info(void);

/* Which of its CPU modules the library took, and the instruction sets that one
 * is compiled for, as "haswell: SSE3 SSSE3 AVX AVX2"; the name is "built-in"
 * where the library has no modules. For reports. Static storage; "" until
 * gpt4all_init has succeeded. */
GPT4ALL_API const char *gpt4all_cpu_info(void);

/* Message of this thread's last failure, "" if there was none. The library
 * owns it; it is valid until the thread's next call. */
GPT4ALL_API const char *gpt4all_last_error(void);

/* Sends every later log line to `callback`, or nowhere when it is NULL (as at
 * first). Returns after the last use of the previous callback has ended. */
GPT4ALL_API gpt4all_status gpt4all_set_log_callback(gpt4all_log_callback callback, void *payload);

/* Prepares the engine and loads the best CPU module of the library's own
 * directory. Needed once before anything below; more calls cost nothing. */
GPT4ALL_API gpt4all_status gpt4all_init(void);

/* Devices */

GPT4ALL_API gpt4all_status gpt4all_device_count(int32_t *count);
GPT4ALL_API gpt4all_status gpt4all_device_get_info(int32_t index, gpt4all_device_info *info);

/* Models */

GPT4ALL_API gpt4all_status gpt4all_load_options_init(gpt4all_load_options *options, uint64_t size);
GPT4ALL_API gpt4all_status gpt4all_model_load(const char *path, const gpt4all_load_options *options,
                                              gpt4all_model **model);

/* What loading that file with those options would take, without allocating it.
 * Writes main memory first, then each GPU that would hold layers, up to
 * `capacity` of them, and their number to `count`; with too small a buffer the
 * number needed is written and GPT4ALL_ERROR_BUFFER_TOO_SMALL returned. */
GPT4ALL_API gpt4all_status gpt4all_model_memory(const char *path, const gpt4all_load_options *options,
                                                gpt4all_memory_need *needs, int32_t capacity, int32_t *count);

/* NULL is fine. GPT4ALL_ERROR_BUSY, with nothing freed, while a call runs. */
GPT4ALL_API gpt4all_status gpt4all_model_free(gpt4all_model *model);

GPT4ALL_API gpt4all_status gpt4all_model_get_info(const gpt4all_model *model, gpt4all_model_info *info);

/* Threads for single tokens and for prompts, each at least 1. */
GPT4ALL_API gpt4all_status gpt4all_model_set_threads(gpt4all_model *model, int32_t n_threads, int32_t n_threads_batch);

/* Text */

/* `flags` are GPT4ALL_TOKENIZE_*. Writes up to `capacity` ids to the caller's
 * `tokens` and their number to `count`; with too small a buffer the number
 * needed is written and GPT4ALL_ERROR_BUFFER_TOO_SMALL returned. `cancel` is the
 * caller's flag, polled during the call: non-zero stops it with
 * GPT4ALL_ERROR_CANCELLED; may be NULL. */
GPT4ALL_API gpt4all_status gpt4all_tokenize(const gpt4all_model *model, const char *text, int64_t text_len,
                                            int32_t flags, const int32_t *cancel, int32_t *tokens, int32_t capacity,
                                            int32_t *count);

/* The same for bytes, which need not be valid UTF-8; no NUL is added. Control
 * tokens give their text. */
GPT4ALL_API gpt4all_status gpt4all_detokenize(const gpt4all_model *model, const int32_t *tokens, int32_t n_tokens,
                                              char *text, int64_t capacity, int64_t *length);

/* Like gpt4all_tokenize, with GPT4ALL_TOKENIZE_ADD_SPECIAL as the only flag.
 * The parts join as one text before its plain stretches are tokenised; control
 * tokens are read where they stand in one part, or in neighbours, that parse them. */
GPT4ALL_API gpt4all_status gpt4all_tokenize_parts(const gpt4all_model *model, const gpt4all_text_part *parts,
                                                  int64_t n_parts, int32_t flags, const int32_t *cancel,
                                                  int32_t *tokens, int32_t capacity, int32_t *count);

/* Chats */

/* Renders a conversation, a JSON array of objects with "role" and "content",
 * with a Jinja template: `chat_template`, or the model's own where it is NULL.
 * `args_json` is an object of further variables, or NULL. A begin token that
 * GPT4ALL_TOKENIZE_ADD_SPECIAL adds is left out. A template may come from
 * anywhere: what it may compute is bounded. `cancel` is the caller's flag,
 * polled during the call: non-zero stops it with GPT4ALL_ERROR_CANCELLED; may be NULL. */
GPT4ALL_API gpt4all_status gpt4all_chat_render(const gpt4all_model *model, const char *chat_template,
                                               const char *messages_json, const char *args_json,
                                               int32_t add_generation_prompt, const int32_t *cancel,
                                               gpt4all_part_callback callback, void *payload);

/* Renders a conversation with tools, like gpt4all_chat_render with a generation
 * prompt, and prepares how the answer is written and read. `tools_json` is an
 * object: {"tools": [...], "choice": "auto", "parallel": true}. The caller
 * frees *chat. */
GPT4ALL_API gpt4all_status gpt4all_chat_prepare(const gpt4all_model *model, const char *chat_template,
                                                const char *messages_json, const char *tools_json,
                                                const char *args_json, const int32_t *cancel,
                                                gpt4all_part_callback callback, void *payload, gpt4all_chat **chat);

/* Gives the callback, once, a JSON object of what an answer says: content,
 * reasoning_content, tool_calls. `is_partial` is non-zero for a text that goes
 * on, or was cut off. Any text has a reading. */
GPT4ALL_API gpt4all_status gpt4all_chat_parse(const gpt4all_chat *chat, const char *text, int64_t text_len,
                                              int32_t is_partial, const int32_t *cancel, gpt4all_part_callback callback,
                                              void *payload);

/* Gives the callback, once, a JSON object of facts about it, for reports and tests. */
GPT4ALL_API gpt4all_status gpt4all_chat_describe(const gpt4all_chat *chat, gpt4all_part_callback callback,
                                                 void *payload);

/* NULL is fine. Not while a call uses it. */
GPT4ALL_API gpt4all_status gpt4all_chat_free(gpt4all_chat *chat);

/* Generation */

GPT4ALL_API gpt4all_status gpt4all_generate_options_init(gpt4all_generate_options *options, uint64_t size);
GPT4ALL_API gpt4all_status gpt4all_generate_result_init(gpt4all_generate_result *result, uint64_t size);

/* Continues `tokens`, which the caller owns, and reports in `result`, also
 * when it fails. `callback` may be NULL. Stopping through the callback or the
 * cancel flag is GPT4ALL_OK with finish_reason GPT4ALL_FINISH_CANCELLED. */
GPT4ALL_API gpt4all_status gpt4all_generate(gpt4all_model *model, const int32_t *tokens, int32_t n_tokens,
                                            const gpt4all_generate_options *options, gpt4all_token_callback callback,
                                            void *payload, gpt4all_generate_result *result);

/* Queues a generation, of which the model computes n_sequences together, and
 * gives a request to read it by. Copies all but the cancel flag, which has to
 * stay until the request is freed. The caller frees it, before the model. May
 * be called from any thread, also beside gpt4all_generate. */
GPT4ALL_API gpt4all_status gpt4all_request_start(gpt4all_model *model, const int32_t *tokens, int32_t n_tokens,
                                                 const gpt4all_generate_options *options, gpt4all_request **request);

/* Delivers what is new to the callbacks, on this thread, after waiting for it
 * timeout_us microseconds at most; negative is for ever. Reports in `result`,
 * also when it fails: finish_reason is GPT4ALL_FINISH_NOT_YET while the
 * generation goes on, which it does a few hundred tokens ahead of the reader.
 * One thread reads at a time. */
GPT4ALL_API gpt4all_status gpt4all_request_read(gpt4all_request *request, int64_t timeout_us,
                                                gpt4all_token_callback callback, void *payload,
                                                gpt4all_generate_result *result);

/* Ends it within a step of the engine, as the cancel flag does; from anywhere. */
GPT4ALL_API gpt4all_status gpt4all_request_cancel(gpt4all_request *request);

/* Ends it where it still goes on, which is waited for, and frees it; NULL is ignored.
 * GPT4ALL_ERROR_BUSY while a call reads it, also in a callback of that call. */
GPT4ALL_API gpt4all_status gpt4all_request_free(gpt4all_request *request);

/* Copies the n_vocab logits of the last computed position to the caller's
 * memory, in which `capacity` floats fit. */
GPT4ALL_API gpt4all_status gpt4all_last_logits(gpt4all_model *model, float *logits, int64_t capacity);

/* Grammars */

/* Whether gpt4all_generate takes `grammar`: GPT4ALL_OK, or
 * GPT4ALL_ERROR_INVALID_ARGUMENT with what is wrong and where. A grammar may
 * come from anywhere: its size and what it may compute are bounded. May run
 * beside any call but gpt4all_model_free. */
GPT4ALL_API gpt4all_status gpt4all_grammar_check(const gpt4all_model *model, const char *grammar, int64_t grammar_len);

/* Embeddings */

/* Called before each batch with the tokens of every batch that is still to be
 * computed, that one first: valid during the call. One call at a time, on any
 * thread of the computation. Non-zero cancels. */
typedef int32_t (*gpt4all_embed_callback)(const int32_t *batch_tokens, int64_t n_batches, void *payload);

typedef struct gpt4all_embed_options {
    uint32_t struct_size;
    int32_t normalize;     /* 1 makes each vector's length 1; 0 leaves it as pooled */
    const int32_t *cancel; /* caller's flag, polled during the call: non-zero stops it; may be NULL */
} gpt4all_embed_options;

GPT4ALL_API gpt4all_status gpt4all_embed_options_init(gpt4all_embed_options *options, uint64_t size);

/* Embeds `n_texts` texts, whose tokens, special ones included, stand in
 * `tokens` one after the other; `lengths` has the number of each, from 1 to the
 * smaller of n_ctx and n_ctx_train. Writes a row of n_embd_out numbers for each
 * to the caller's `vectors`, in which `capacity` floats fit. Batches are formed
 * inside. GPT4ALL_ERROR_CANCELLED when the callback, which may be NULL, or the
 * flag stopped it; some rows are written then. */
GPT4ALL_API gpt4all_status gpt4all_embed(gpt4all_model *model, const int32_t *tokens, const int32_t *lengths,
                                         int64_t n_texts, const gpt4all_embed_options *options, float *vectors,
                                         int64_t capacity, gpt4all_embed_callback callback, void *payload);

#ifdef __cplusplus
}
#endif

#endif /* GPT4ALL_BACKEND_H */
