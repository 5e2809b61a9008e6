#include "api/buffers.h"
#include "api/handle.h"
#include "base/structs.h"
#include "model/load_options.h"
#include "model/memory.h"

#include <algorithm>
#include <memory>
#if defined(__GLIBC__)
#include <malloc.h>
#endif

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
        *model = std::make_unique<gpt4all_model>(path, checked_load_options(options)).release();
    });
}

gpt4all_status gpt4all_model_memory(const char *path, const gpt4all_load_options *options, gpt4all_memory_need *needs,
                                    int32_t capacity, int32_t *count) {
    return gpt4all::guarded([&] {
        using namespace gpt4all;
        require(path, "path");
        require(count, "count");
        require_buffer(needs, capacity, "needs");
        const MemoryNeeds measured = measure_memory(path, checked_load_options(options));
        *count = static_cast<int32_t>(measured.size());
        std::copy_n(measured.begin(), std::min(capacity, *count), needs);
        require_room(*count, capacity, "the load has", "memories");
    });
}

gpt4all_status gpt4all_model_free(gpt4all_model *model) {
    return gpt4all::guarded([&] {
        if (model == nullptr) return;
        if (model->n_requests > 0 || model->busy.test_and_set(std::memory_order_acquire)) {
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
        const gpt4all::ModelFacts &facts = model->model.facts;
        const llama_model *weights = model->model.weights.get();
        const llama_vocab *vocab = model->model.vocab;
        gpt4all_model_info filled = {};
        filled.traits = facts.traits;
        filled.n_ctx = model->model.n_ctx;
        filled.n_ctx_train = llama_model_n_ctx_train(weights);
        filled.n_vocab = llama_vocab_n_tokens(vocab);
        filled.n_embd = llama_model_n_embd(weights);
        filled.n_layer = llama_model_n_layer(weights);
        filled.token_bos = llama_vocab_bos(vocab);
        filled.token_eos = llama_vocab_eos(vocab);
        filled.add_bos = llama_vocab_get_add_bos(vocab) ? 1 : 0;
        filled.n_params = static_cast<int64_t>(llama_model_n_params(weights));
        filled.weights_bytes = static_cast<int64_t>(llama_model_size(weights));
        filled.architecture = facts.architecture.c_str();
        filled.description = facts.description.c_str();
        filled.quantization = facts.quantization.c_str();
        filled.name = facts.name.c_str();
        filled.chat_template = facts.chat_template.c_str();
        filled.n_layers_offloaded = facts.n_layers_offloaded;
        filled.device = facts.device;
        filled.device_bytes = facts.device_bytes;
        filled.n_embd_out = llama_model_n_embd_out(weights);
        filled.pooling = static_cast<int32_t>(facts.pooling);
        filled.wordpiece = facts.wordpiece;
        filled.basename = facts.basename.c_str();
        gpt4all::write_result(info, filled, "info");
    });
}

gpt4all_status gpt4all_model_set_threads(gpt4all_model *model, int32_t n_threads, int32_t n_threads_batch) {
    return gpt4all::guarded([&] {
        gpt4all::require(model, "model");
        gpt4all::check_n_threads(n_threads, n_threads_batch);
        gpt4all::Claim claim(*model);
        model->scheduler.between_steps([&] { model->model.set_threads(n_threads, n_threads_batch); });
    });
}
