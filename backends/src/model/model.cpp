#include "model/model.h"

#include "base/log.h"
#include "embed/embedder.h"
#include "engine/memory_need.h"
#include "engine/placement.h"
#include "engine/start.h"
#include "grammar/grammar_vocabulary.h"

#include "ggml-backend.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#if defined(__GLIBC__)
#include <malloc.h>
#endif

namespace gpt4all {
namespace {

// Up to this context, sliding-window layers keep every position, so that a
// prefix can be taken back and the context shifted; beyond it the memory that
// the window saves matters more.
constexpr int32_t FULL_WINDOW_CACHE_MAX_CTX = 8192;

constexpr const char *STRIP_ACCENTS_KEY = "tokenizer.ggml.normalizer.strip_accents";

std::string metadata(const llama_model *weights, const char *key) {
    const int32_t length = llama_model_meta_val_str(weights, key, nullptr, 0);
    if (length < 0) return "";
    std::vector<char> buffer(static_cast<std::size_t>(length) + 1);
    llama_model_meta_val_str(weights, key, buffer.data(), buffer.size());
    return std::string(buffer.data(), static_cast<std::size_t>(length));
}

std::string describe(const llama_model *weights) {
    char buffer[256] = "";
    llama_model_desc(weights, buffer, sizeof buffer);
    return buffer;
}

int32_t wordpiece_flags(const llama_model *weights) {
    if (llama_vocab_type(llama_model_get_vocab(weights)) != LLAMA_VOCAB_TYPE_WPM) return 0;
    // Where the file says nothing, both are so, as in the engine.
    const bool lowercase = metadata(weights, "tokenizer.ggml.normalizer.lowercase") != "false";
    const std::string strips = metadata(weights, STRIP_ACCENTS_KEY);
    const bool strip_accents = strips.empty() ? lowercase : strips == "true";
    return GPT4ALL_WORDPIECE | (lowercase ? GPT4ALL_WORDPIECE_LOWERCASE : 0) |
           (strip_accents ? GPT4ALL_WORDPIECE_STRIP_ACCENTS : 0);
}

// What the file says, or LLAMA_POOLING_TYPE_UNSPECIFIED, which converters also write out, as a number without sign.
enum llama_pooling_type pooling_of(const llama_model *weights, const std::string &architecture) {
    const std::string text = metadata(weights, (architecture + ".pooling_type").c_str());
    const long long number = std::strtoll(text.c_str(), nullptr, 10);
    if (text.empty() || number > LLAMA_POOLING_TYPE_RANK) return LLAMA_POOLING_TYPE_UNSPECIFIED;
    return static_cast<enum llama_pooling_type>(number);
}

ModelFacts read_facts(const llama_model *weights, const llama_context *context, ggml_type kv_type) {
    ModelFacts facts;
    facts.architecture = metadata(weights, "general.architecture");
    facts.description = describe(weights);
    facts.quantization = llama_ftype_name(llama_model_ftype(weights));
    facts.name = metadata(weights, "general.name");
    facts.basename = metadata(weights, "general.basename");
    const char *chat_template = llama_model_chat_template(weights, nullptr);
    facts.chat_template = chat_template == nullptr ? "" : chat_template;
    facts.wordpiece = wordpiece_flags(weights);

    const bool encoder = llama_model_has_encoder(weights);
    llama_memory_t memory = llama_get_memory(context);
    // An encoder without memory to generate from: the BERT family.
    const bool encoder_only = memory == nullptr;
    const bool decoder = llama_model_has_decoder(weights) && !encoder_only;
    const bool recurrent = llama_model_is_recurrent(weights) || llama_model_is_hybrid(weights);
    const enum llama_pooling_type pooling = pooling_of(weights, facts.architecture);
    const bool stated = pooling != LLAMA_POOLING_TYPE_UNSPECIFIED;
    if (encoder || encoder_only) facts.traits |= GPT4ALL_TRAIT_ENCODER;
    if (decoder) facts.traits |= GPT4ALL_TRAIT_DECODER;
    if (recurrent) facts.traits |= GPT4ALL_TRAIT_RECURRENT;
    if (stated) facts.pooling = pooling;
    // Files from before the key was invented: sentence encoders take the mean.
    if (!stated && encoder_only) facts.pooling = LLAMA_POOLING_TYPE_MEAN;
    if (encoder_only || facts.pooling != LLAMA_POOLING_TYPE_NONE) facts.traits |= GPT4ALL_TRAIT_EMBEDDING;
    if (llama_model_is_diffusion(weights)) facts.traits |= GPT4ALL_TRAIT_DIFFUSION;
    // A recurrent memory says it can shift, but cannot drop tokens from the
    // middle; and a shift rotates keys in place, which ggml cannot do in BF16.
    const bool can_shift = memory != nullptr && llama_memory_can_shift(memory);
    if (can_shift && !recurrent && kv_type != GGML_TYPE_BF16) facts.traits |= GPT4ALL_TRAIT_CAN_SHIFT;
    facts.n_layers_offloaded = layers_on_gpus(weights);
    facts.device = device_index(output_gpu(weights));
    facts.device_bytes = bytes_on_gpus(context);
    return facts;
}

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
    return options;
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

void check_load_options(const gpt4all_load_options &options) {
    if (options.n_ctx != 0 && options.n_ctx < 8) invalid_argument("n_ctx must be 0 or at least 8");
    if (options.n_batch < 1) invalid_argument("n_batch must be at least 1");
    if (options.n_threads < 1 || options.n_threads > GGML_MAX_N_THREADS) {
        invalid_argument("n_threads must be from 1 to " + std::to_string(GGML_MAX_N_THREADS));
    }
    if (options.n_threads_batch < 1 || options.n_threads_batch > GGML_MAX_N_THREADS) {
        invalid_argument("n_threads_batch must be from 1 to " + std::to_string(GGML_MAX_N_THREADS));
    }
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

struct LoadProgress {
    gpt4all_progress_callback callback;
    void *payload;
    bool cancelled;
};

bool on_progress(float fraction, void *payload) {
    auto *progress = static_cast<LoadProgress *>(payload);
    if (progress->callback(fraction, progress->payload) != 0) progress->cancelled = true;
    return !progress->cancelled;
}

void load_weights(gpt4all_model &model, const char *path, const gpt4all_load_options &options) {
    const Placement placement(options);
    llama_model_params params = placement.model_params(options);
    LoadProgress progress = {options.progress, options.progress_payload, false};
    if (options.progress != nullptr) {
        params.progress_callback = on_progress;
        params.progress_callback_user_data = &progress;
    }
    // The engine drops whatever is a mark in any script, and Python, which does
    // this exactly, cannot hide any from it.
    llama_model_kv_override overrides[2] = {};
    overrides[0].tag = LLAMA_KV_OVERRIDE_TYPE_BOOL;
    std::strncpy(overrides[0].key, STRIP_ACCENTS_KEY, sizeof overrides[0].key - 1);
    overrides[0].val_bool = false;
    params.kv_overrides = overrides;
    ErrorCapture errors;
    model.weights.reset(llama_model_load_from_file(path, params));
    if (progress.cancelled) throw Error(GPT4ALL_ERROR_CANCELLED, "loading was cancelled");
    if (model.weights == nullptr) {
        const std::string reason = errors.text("the engine gave no reason");
        // First, as a lack of memory can end in an assertion too.
        if (!placement.devices().empty()) check_memory(path, options);
        errors.check_model();
        throw Error(GPT4ALL_ERROR_MODEL_LOAD, reason);
    }
    model.vocab = llama_model_get_vocab(model.weights.get());
    if (llama_vocab_type(model.vocab) == LLAMA_VOCAB_TYPE_NONE || llama_vocab_n_tokens(model.vocab) < 1) {
        throw Error(GPT4ALL_ERROR_UNSUPPORTED_MODEL, "the model has no vocabulary, so it cannot read or write text");
    }
}

// Takes the place of the context, which told what kind of model this is.
void make_embedder(gpt4all_model &model, const gpt4all_load_options &options) {
    model.context.reset();
    if (model.facts.pooling == LLAMA_POOLING_TYPE_RANK) return;
    EmbedSettings settings = embed_settings(options, model.weights.get());
    settings.pooling = model.facts.pooling;
    model.embedder = std::make_unique<Embedder>(model.weights.get(), settings, options.n_threads_batch);
    model.facts.device_bytes = model.embedder->bytes_on_gpus();
}

bool abort_requested(void *payload) { return is_set(static_cast<gpt4all_model *>(payload)->cancel); }

void make_context(gpt4all_model &model, const char *path, const gpt4all_load_options &options) {
    model.n_ctx = context_size(options, model.weights.get());
    // What embeds gets contexts of its own later, and here one that only tells of its memory.
    const bool generates = !pools(model.weights.get());
    llama_context_params params = context_params(options, generates ? model.n_ctx : std::min(model.n_ctx, 64));
    if (!generates) params.n_batch = params.n_ubatch = params.n_ctx;
    params.abort_callback = abort_requested;
    params.abort_callback_data = &model;

    ErrorCapture errors;
    model.context.reset(llama_init_from_model(model.weights.get(), params));
    if (model.context == nullptr) {
        const std::string reason = "no context of " + std::to_string(model.n_ctx) +
                                   " tokens could be made: " + errors.text("the engine gave no reason");
        if (output_gpu(model.weights.get()) != nullptr) {
            model.weights.reset();
            check_memory(path, options);
        }
        errors.check_model();
        throw Error(GPT4ALL_ERROR_MODEL_LOAD, reason);
    }
    model.n_batch = static_cast<int32_t>(llama_n_ubatch(model.context.get()));
}

} // namespace

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

llama_context_params context_params(const gpt4all_load_options &options, int32_t n_ctx) {
    llama_context_params params = llama_context_default_params();
    params.n_ctx = static_cast<uint32_t>(n_ctx);
    params.n_batch = static_cast<uint32_t>(options.n_batch);
    params.n_ubatch = static_cast<uint32_t>(options.n_batch);
    // Only the last position's logits are ever read; a batch of outputs would
    // cost a vocabulary-sized row for each token.
    // Not 1, with which the engine reads prompts a fifth slower (measured on AMX).
    params.n_outputs_max = 16;
    params.n_threads = options.n_threads;
    params.n_threads_batch = options.n_threads_batch;
    params.type_k = parse_kv_type(options.kv_type);
    params.type_v = params.type_k;
    params.flash_attn_type = static_cast<llama_flash_attn_type>(options.flash_attention);
    params.swa_full = n_ctx <= FULL_WINDOW_CACHE_MAX_CTX;
    return params;
}

bool pools(const llama_model *weights) {
    return pooling_of(weights, metadata(weights, "general.architecture")) > LLAMA_POOLING_TYPE_NONE;
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

Claim::Claim(gpt4all_model &model) : model_(model) {
    if (model.busy.test_and_set(std::memory_order_acquire)) {
        throw Error(GPT4ALL_ERROR_BUSY, "another call is using this model");
    }
    if (model.broken) {
        model.busy.clear(std::memory_order_release);
        throw Error(GPT4ALL_ERROR_INTERNAL, "the engine failed in an earlier call; close this model and load it again");
    }
}

Claim::~Claim() {
    model_.cancel = nullptr;
    model_.busy.clear(std::memory_order_release);
}

} // namespace gpt4all

gpt4all_model::~gpt4all_model() {
    if (broken) {
        // What the engine was doing with the context is unknown, so that is given up, and used no more.
        (void)context.release();
        if (embedder != nullptr) embedder->abandon();
    }
    if (context != nullptr) llama_detach_threadpool(context.get());
}

void gpt4all_model::set_threads(int32_t n_threads, int32_t n_threads_batch) {
    using namespace gpt4all;
    if (embedder != nullptr) embedder->set_threads(n_threads_batch);
    if (context == nullptr) return;
    std::unique_ptr<ggml_threadpool, FreeThreadPool> fresh = make_thread_pool(std::max(n_threads, n_threads_batch));
    // Before the context has the new one, which an exception frees.
    if (pool_used) retired_pools.push_back(std::move(pool));
    llama_detach_threadpool(context.get());
    llama_attach_threadpool(context.get(), fresh.get(), nullptr);
    llama_set_n_threads(context.get(), n_threads, n_threads_batch);
    pool = std::move(fresh);
    pool_used = false;
}

void gpt4all_model::forget() {
    held = {};
    has_logits = false;
    llama_memory_t memory = llama_get_memory(context.get());
    if (memory != nullptr) llama_memory_clear(memory, false);
}

gpt4all_status gpt4all_load_options_init(gpt4all_load_options *options, uint64_t size) {
    return gpt4all::guarded(
        [&] { gpt4all::write_defaults(options, size, gpt4all::default_load_options(), "options"); });
}

gpt4all_status gpt4all_model_load(const char *path, const gpt4all_load_options *options, gpt4all_model **model) {
    return gpt4all::guarded([&] {
        using namespace gpt4all;
        require(model, "model");
        *model = nullptr;
        require(path, "path");
        const gpt4all_load_options checked = checked_load_options(options);
        auto loaded = std::make_unique<gpt4all_model>();
        load_weights(*loaded, path, checked);
        make_context(*loaded, path, checked);
        loaded->facts = read_facts(loaded->weights.get(), loaded->context.get(), parse_kv_type(checked.kv_type));
        if (loaded->has_trait(GPT4ALL_TRAIT_EMBEDDING)) make_embedder(*loaded, checked);
        loaded->set_threads(checked.n_threads, checked.n_threads_batch);
        loaded->displaced.set_up(
            static_cast<std::size_t>(checked.prefix_cache_bytes),
            {loaded->has_trait(GPT4ALL_TRAIT_RECURRENT), llama_model_n_swa(loaded->weights.get())});
        *model = loaded.release();
    });
}

gpt4all_status gpt4all_model_free(gpt4all_model *model) {
    return gpt4all::guarded([&] {
        if (model == nullptr) return;
        if (model->busy.test_and_set(std::memory_order_acquire)) {
            throw gpt4all::Error(GPT4ALL_ERROR_BUSY, "the model cannot be freed while a call is using it");
        }
        delete model;
#if defined(__GLIBC__)
        // What many threads freed stays with the arenas of each; on 16 processors that was 4 MB for each model loaded.
        malloc_trim(0);
#endif
    });
}

gpt4all_status gpt4all_model_get_info(const gpt4all_model *model, gpt4all_model_info *info) {
    return gpt4all::guarded([&] {
        gpt4all::require(model, "model");
        gpt4all::require(info, "info");
        const llama_model *weights = model->weights.get();
        gpt4all_model_info filled = {};
        filled.traits = model->facts.traits;
        filled.n_ctx = model->n_ctx;
        filled.n_ctx_train = llama_model_n_ctx_train(weights);
        filled.n_vocab = llama_vocab_n_tokens(model->vocab);
        filled.n_embd = llama_model_n_embd(weights);
        filled.n_layer = llama_model_n_layer(weights);
        filled.token_bos = llama_vocab_bos(model->vocab);
        filled.token_eos = llama_vocab_eos(model->vocab);
        filled.add_bos = llama_vocab_get_add_bos(model->vocab) ? 1 : 0;
        filled.n_params = static_cast<int64_t>(llama_model_n_params(weights));
        filled.weights_bytes = static_cast<int64_t>(llama_model_size(weights));
        filled.architecture = model->facts.architecture.c_str();
        filled.description = model->facts.description.c_str();
        filled.quantization = model->facts.quantization.c_str();
        filled.name = model->facts.name.c_str();
        filled.chat_template = model->facts.chat_template.c_str();
        filled.n_layers_offloaded = model->facts.n_layers_offloaded;
        filled.device = model->facts.device;
        filled.device_bytes = model->facts.device_bytes;
        filled.n_embd_out = llama_model_n_embd_out(weights);
        filled.pooling = static_cast<int32_t>(model->facts.pooling);
        filled.wordpiece = model->facts.wordpiece;
        filled.basename = model->facts.basename.c_str();
        gpt4all::write_result(info, filled, "info");
    });
}

gpt4all_status gpt4all_model_set_threads(gpt4all_model *model, int32_t n_threads, int32_t n_threads_batch) {
    return gpt4all::guarded([&] {
        gpt4all::require(model, "model");
        if (n_threads < 1 || n_threads > GGML_MAX_N_THREADS) {
            gpt4all::invalid_argument("n_threads must be from 1 to " + std::to_string(GGML_MAX_N_THREADS));
        }
        if (n_threads_batch < 1 || n_threads_batch > GGML_MAX_N_THREADS) {
            gpt4all::invalid_argument("n_threads_batch must be from 1 to " + std::to_string(GGML_MAX_N_THREADS));
        }
        gpt4all::Claim claim(*model);
        model->set_threads(n_threads, n_threads_batch);
    });
}
