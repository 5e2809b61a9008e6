// The options of a load: defaults, checks, and what the engine is told of them.
#pragma once

#include "embed/lane.h"

#include "gpt4all_backend.h"

#include "llama.h"

namespace gpt4all {

gpt4all_load_options default_load_options();

// The caller's options, or an error that names what is wrong with them.
gpt4all_load_options checked_load_options(const gpt4all_load_options *options);

void check_n_threads(int32_t n_threads, int32_t n_threads_batch);

ggml_type parse_kv_type(const char *name);

// The context that the options ask for: the trained length for 0.
int32_t context_size(const gpt4all_load_options &options, const llama_model *weights);
// How many generations are computed together: one where an encoder's output is there for one at a time.
int32_t sequence_count(const gpt4all_load_options &options, const llama_model *weights);
// Up to this context, sliding-window layers keep every position, so that a prefix can be taken back and the context
// shifted; beyond it the memory that the window saves matters more.
inline bool keeps_all_of_windows(int32_t n_ctx) { return n_ctx <= 8192; }
llama_context_params context_params(const gpt4all_load_options &options, int32_t n_ctx, int32_t n_sequences);

EmbedSettings embed_settings(const gpt4all_load_options &options, const llama_model *weights);

} // namespace gpt4all
