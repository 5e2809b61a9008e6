#include "model/load_options.h"

#include "base/structs.h"
#include "engine/start.h"
#include "model/facts.h"

#include "ggml-backend.h"

#include <algorithm>
#include <cmath>
#include <string>

namespace gpt4all {
namespace {

void check_load_options(const gpt4all_load_options &options) {
    if (options.n_ctx != 0 && options.n_ctx < 8) invalid_argument("n_ctx must be 0 or at least 8");
    if (options.n_batch < 1) invalid_argument("n_batch must be at least 1");
    check_n_threads(options.n_threads, options.n_threads_batch);
    if (options.n_sequences < 1 || options.n_sequences > static_cast<int32_t>(llama_max_parallel_sequences())) {
        invalid_argument("n_sequences must be from 1 to " + std::to_string(llama_max_parallel_sequences()));
    }
    if (options.reserved != 0) invalid_argument("reserved must be 0");
    if (options.prefix_cache_bytes < 0) invalid_argument("prefix_cache_bytes must not be negative");
    if (options.n_gpu_layers < 0) invalid_argument("n_gpu_layers must not be negative");
    if (options.main_gpu < 0) invalid_argument("main_gpu must not be negative");
    if (options.flash_attention < -1 || options.flash_attention > 1)
        invalid_argument("flash_attention must be -1, 0 or 1");
    if (options.device < -1 || options.device >= static_cast<int32_t>(ggml_backend_dev_count())) {
        invalid_argument("device " + std::to_string(options.device) + " names no device");
    }
    if (options.n_tensor_split < 0 || options.n_tensor_split > static_cast<int64_t>(llama_max_devices())) {
        invalid_argument("tensor_split has more shares than there can be devices");
    }
    if (options.n_tensor_split > 0) require(options.tensor_split, "tensor_split");
    for (int64_t i = 0; i < options.n_tensor_split; i++) {
        if (!std::isfinite(options.tensor_split[i]) || options.tensor_split[i] < 0) {
            invalid_argument("tensor_split has a share that is negative or not a number");
        }
    }
}

} // namespace

gpt4all_load_options default_load_options() {
    gpt4all_load_options options = {};
    options.n_ctx = 2048;
    options.n_batch = 512;
    options.n_threads = 4;
    options.n_threads_batch = 4;
    options.n_gpu_layers = 100;
    options.device = -1;
    options.flash_attention = -1;
    options.use_mmap = 1;
    options.prefix_cache_bytes = 256 * 1024 * 1024;
    options.n_sequences = 1;
    return options;
}

void check_n_threads(int32_t n_threads, int32_t n_threads_batch) {
    if (n_threads < 1 || n_threads > GGML_MAX_N_THREADS) {
        invalid_argument("n_threads must be from 1 to " + std::to_string(GGML_MAX_N_THREADS));
    }
    if (n_threads_batch < 1 || n_threads_batch > GGML_MAX_N_THREADS) {
        invalid_argument("n_threads_batch must be from 1 to " + std::to_string(GGML_MAX_N_THREADS));
    }
}

ggml_type parse_kv_type(const char *name) {
    if (name == nullptr) return GGML_TYPE_F16;
    const ggml_type types[] = {GGML_TYPE_F32,  GGML_TYPE_F16,  GGML_TYPE_BF16, GGML_TYPE_Q8_0,  GGML_TYPE_Q5_1,
                               GGML_TYPE_Q5_0, GGML_TYPE_Q4_1, GGML_TYPE_Q4_0, GGML_TYPE_IQ4_NL};
    for (ggml_type type : types) {
        if (std::string(ggml_type_name(type)) == name) return type;
    }
    invalid_argument(std::string("kv_type '") + name + "' is not a type the KV cache can have");
}

gpt4all_load_options checked_load_options(const gpt4all_load_options *options) {
    const gpt4all_load_options checked = read_options(options, default_load_options(), "options");
    require_initialized();
    check_load_options(checked);
    parse_kv_type(checked.kv_type);
    return checked;
}

int32_t context_size(const gpt4all_load_options &options, const llama_model *weights) {
    return options.n_ctx != 0 ? options.n_ctx : std::max(llama_model_n_ctx_train(weights), 8);
}

int32_t sequence_count(const gpt4all_load_options &options, const llama_model *weights) {
    return pools(weights) || llama_model_has_encoder(weights) ? 1 : options.n_sequences;
}

llama_context_params context_params(const gpt4all_load_options &options, int32_t n_ctx, int32_t n_sequences) {
    llama_context_params params = llama_context_default_params();
    // Each sequence has cells of its own, n_ctx of them.
    params.n_seq_max = static_cast<uint32_t>(n_sequences);
    params.kv_unified = false;
    params.n_ctx = static_cast<uint32_t>(n_ctx) * params.n_seq_max;
    params.n_batch = static_cast<uint32_t>(options.n_batch);
    params.n_ubatch = static_cast<uint32_t>(options.n_batch);
    // Only the last position's logits are ever read; a batch of outputs would
    // cost a vocabulary-sized row for each token.
    // Not 1, with which the engine reads prompts a fifth slower (measured on AMX).
    params.n_outputs_max = std::max(16u, params.n_seq_max);
    params.n_threads = options.n_threads;
    params.n_threads_batch = options.n_threads_batch;
    params.type_k = parse_kv_type(options.kv_type);
    params.type_v = params.type_k;
    params.flash_attn_type = static_cast<llama_flash_attn_type>(options.flash_attention);
    params.swa_full = keeps_all_of_windows(n_ctx);
    return params;
}

EmbedSettings embed_settings(const gpt4all_load_options &options, const llama_model *weights) {
    EmbedSettings settings = {};
    settings.pooling = LLAMA_POOLING_TYPE_MEAN;
    const int32_t n_ctx = context_size(options, weights);
    const int32_t trained = llama_model_n_ctx_train(weights);
    settings.max_tokens = trained > 0 ? std::min(trained, n_ctx) : n_ctx;
    settings.offloaded = options.device >= 0 && options.n_gpu_layers > 0;
    settings.flash_attention = static_cast<llama_flash_attn_type>(options.flash_attention);
    settings.kv_type = parse_kv_type(options.kv_type);
    return settings;
}

} // namespace gpt4all
