// Stops the engine while it tokenises.
#pragma once

#include "base/cancel.h"

// Called by the engine (patched) for every few symbols, and between its passes over a text.
extern thread_local void (*llama_tokenize_poll)();

namespace gpt4all {

// As long as it lives, tokenising on this thread throws Cancelled once the flag is set.
class TokenizeCancel {
public:
    explicit TokenizeCancel(const int32_t *cancel) {
        if (is_set(cancel)) throw Cancelled();
        flag() = cancel;
        llama_tokenize_poll = [] {
            if (is_set(flag())) throw Cancelled();
        };
    }
    ~TokenizeCancel() { llama_tokenize_poll = nullptr; }
    TokenizeCancel(const TokenizeCancel &) = delete;
    TokenizeCancel &operator=(const TokenizeCancel &) = delete;

private:
    static const int32_t *&flag() {
        static thread_local const int32_t *flag = nullptr;
        return flag;
    }
};

} // namespace gpt4all
