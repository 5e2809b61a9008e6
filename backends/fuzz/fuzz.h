// What the fuzz programs share: bytes read as choices, models loaded once, and
// the exit that tells the fuzzer of a finding.
#pragma once

#include "gpt4all_backend.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace fuzz {

// Reads an input front to back; what is missing at its end is zero or empty.
class Input {
public:
    Input(const uint8_t *data, std::size_t size) : at_(data), end_(data + size) {}

    uint8_t byte() { return done() ? 0 : *at_++; }
    // Up to the byte 0xFF, which no text in UTF-8 holds.
    std::string text();
    bool done() const { return at_ == end_; }

private:
    const uint8_t *at_;
    const uint8_t *end_;
};

// Prints what should never be and aborts.
[[noreturn]] void fail(const std::string &what);

inline void expect(bool holds, const std::string &what) {
    if (!holds) fail(what);
}

// Fails unless the status is one of those that such a call may give.
void expect_status(gpt4all_status status, std::initializer_list<gpt4all_status> allowed, const char *call);

bool is_valid_utf8(const std::string &text);

// A model of $GPT4ALL_FUZZ_MODELS, loaded at its first use and then kept.
gpt4all_model *model(const char *name, int32_t n_ctx);

// Both with buffers of exactly the size needed, behind which the sanitizer stands guard.
std::vector<int32_t> tokenize(const gpt4all_model *model, const std::string &text, int32_t flags);
std::string detokenize(const gpt4all_model *model, const std::vector<int32_t> &tokens);
std::vector<int32_t> tokenize_parts(const gpt4all_model *model, const std::vector<gpt4all_text_part> &parts,
                                    int32_t flags, bool valid_text);

} // namespace fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, std::size_t size);
