#include "api/buffers.h"
#include "api/handle.h"
#include "base/cancel.h"
#include "base/structs.h"
#include "generate/options.h"
#include "generate/request.h"
#include "tokens/vocabulary.h"

#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <vector>

// A request and the model that it keeps busy.
struct gpt4all_request {
    gpt4all_request(gpt4all_model &handle, std::vector<llama_token> prompt, const gpt4all_generate_options &options)
        : handle_(handle),
          request_(std::make_shared<gpt4all::Request>(handle.model, std::move(prompt), options,
                                                      options.chat == nullptr ? nullptr : &options.chat->format)) {
        handle_.n_requests++;
    }
    ~gpt4all_request() {
        if (submitted_) {
            stop();
            request_->wait_for_end();
        }
        handle_.n_requests--;
    }
    gpt4all_request(const gpt4all_request &) = delete;
    gpt4all_request &operator=(const gpt4all_request &) = delete;

    void submit() {
        handle_.scheduler.submit(request_);
        submitted_ = true;
    }

    void stop() {
        request_->stop();
        handle_.scheduler.wake();
    }

    // For one call at a time, or for good.
    void claim() {
        if (reading_.test_and_set(std::memory_order_acquire)) {
            throw gpt4all::Error(GPT4ALL_ERROR_BUSY, "another call is reading this request");
        }
    }

    bool read(int64_t timeout_us, gpt4all_token_callback callback, void *payload, gpt4all_generate_result &result) {
        claim();
        const Reading reading{reading_};
        return request_->read(timeout_us, callback, payload, result);
    }

private:
    struct Reading {
        std::atomic_flag &flag;
        ~Reading() { flag.clear(std::memory_order_release); }
    };

    gpt4all_model &handle_;
    std::shared_ptr<gpt4all::Request> request_;
    bool submitted_ = false;
    std::atomic_flag reading_ = ATOMIC_FLAG_INIT;
};

namespace gpt4all {
namespace {

// Room that a prompt must leave for the answer, as in gpt4all 2.8.
constexpr int32_t MIN_ANSWER_ROOM = 4;

void check_prompt(const Model &model, const int32_t *tokens, int32_t n_tokens) {
    if (n_tokens < 1) invalid_argument("tokens must hold at least one token");
    require(tokens, "tokens");
    if (!model.has_trait(GPT4ALL_TRAIT_DECODER) || model.has_trait(GPT4ALL_TRAIT_DIFFUSION) ||
        model.has_trait(GPT4ALL_TRAIT_EMBEDDING)) {
        throw Error(GPT4ALL_ERROR_UNSUPPORTED_MODEL,
                    "a model of architecture '" + model.facts.architecture + "' does not generate text");
    }
    check_tokens(model.vocab, tokens, n_tokens);
    if (n_tokens > model.n_ctx - MIN_ANSWER_ROOM) {
        throw Error(GPT4ALL_ERROR_CONTEXT_OVERFLOW, "the prompt has " + std::to_string(n_tokens) +
                                                        " tokens, but the context takes at most " +
                                                        std::to_string(model.n_ctx - MIN_ANSWER_ROOM));
    }
}

std::unique_ptr<gpt4all_request> start_request(gpt4all_model &model, const int32_t *tokens, int32_t n_tokens,
                                               const gpt4all_generate_options *options) {
    gpt4all_generate_options checked = read_options(options, default_generate_options(), "options");
    check_generate_options(checked, model.model.vocab);
    if (checked.chat != nullptr && checked.chat->model != &model) {
        invalid_argument("chat was prepared for another model");
    }
    check_prompt(model.model, tokens, n_tokens);
    const auto make = [&] {
        return std::make_unique<gpt4all_request>(model, std::vector<llama_token>(tokens, tokens + n_tokens), checked);
    };
    std::unique_ptr<gpt4all_request> request;
    try {
        request = make();
    } catch (const Cancelled &) {
        // Even the first expansion of a grammar can take a while.
        checked.grammar = nullptr;
        checked.chat = nullptr;
        request = make();
    }
    request->submit();
    return request;
}

// Reports in `result`, also when it throws.
bool read_request(gpt4all_request &request, int64_t timeout_us, gpt4all_token_callback callback, void *payload,
                  gpt4all_generate_result *result) {
    gpt4all_generate_result filled = {};
    try {
        const bool over = request.read(timeout_us, callback, payload, filled);
        write_result(result, filled, "result");
        return over;
    } catch (...) {
        write_result(result, filled, "result");
        throw;
    }
}

} // namespace
} // namespace gpt4all

gpt4all_status gpt4all_generate_options_init(gpt4all_generate_options *options, uint64_t size) {
    return gpt4all::guarded(
        [&] { gpt4all::write_defaults(options, size, gpt4all::default_generate_options(), "options"); });
}

gpt4all_status gpt4all_generate_result_init(gpt4all_generate_result *result, uint64_t size) {
    return gpt4all::guarded([&] { gpt4all::write_defaults(result, size, gpt4all_generate_result{}, "result"); });
}

gpt4all_status gpt4all_request_start(gpt4all_model *model, const int32_t *tokens, int32_t n_tokens,
                                     const gpt4all_generate_options *options, gpt4all_request **request) {
    return gpt4all::guarded([&] {
        using namespace gpt4all;
        require(request, "request");
        *request = nullptr;
        require(model, "model");
        *request = start_request(*model, tokens, n_tokens, options).release();
    });
}

gpt4all_status gpt4all_request_read(gpt4all_request *request, int64_t timeout_us, gpt4all_token_callback callback,
                                    void *payload, gpt4all_generate_result *result) {
    return gpt4all::guarded([&] {
        using namespace gpt4all;
        require(request, "request");
        require(result, "result");
        gpt4all_generate_result filled = {};
        write_result(result, filled, "result");
        read_request(*request, timeout_us, callback, payload, result);
    });
}

gpt4all_status gpt4all_request_cancel(gpt4all_request *request) {
    return gpt4all::guarded([&] {
        gpt4all::require(request, "request");
        request->stop();
    });
}

gpt4all_status gpt4all_request_free(gpt4all_request *request) {
    return gpt4all::guarded([&] {
        if (request != nullptr) request->claim();
        delete request;
    });
}

gpt4all_status gpt4all_generate(gpt4all_model *model, const int32_t *tokens, int32_t n_tokens,
                                const gpt4all_generate_options *options, gpt4all_token_callback callback, void *payload,
                                gpt4all_generate_result *result) {
    return gpt4all::guarded([&] {
        using namespace gpt4all;
        require(model, "model");
        require(result, "result");
        gpt4all_generate_result filled = {};
        write_result(result, filled, "result");
        Claim claim(*model);
        const std::unique_ptr<gpt4all_request> request = start_request(*model, tokens, n_tokens, options);
        while (!read_request(*request, -1, callback, payload, result)) continue;
    });
}

gpt4all_status gpt4all_last_logits(gpt4all_model *model, float *logits, int64_t capacity) {
    return gpt4all::guarded([&] {
        using namespace gpt4all;
        require(model, "model");
        require(logits, "logits");
        const int32_t n_vocab = llama_vocab_n_tokens(model->model.vocab);
        require_room(n_vocab, capacity, "the model has", "logits");
        Claim claim(*model);
        model->scheduler.between_steps([&] {
            const float *values = model->scheduler.last_logits();
            if (values == nullptr) throw Error(GPT4ALL_ERROR_INVALID_ARGUMENT, "nothing has been computed yet");
            std::copy_n(values, n_vocab, logits);
        });
    });
}
