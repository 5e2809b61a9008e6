#include "fuzz.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <utility>

namespace fuzz {

std::string Input::text() {
    const uint8_t *stop = std::find(at_, end_, uint8_t{0xFF});
    std::string text(at_, stop);
    at_ = stop == end_ ? end_ : stop + 1;
    return text;
}

void fail(const std::string &what) {
    std::fprintf(stderr, "found: %s\n", what.c_str());
    std::abort();
}

void expect_status(gpt4all_status status, std::initializer_list<gpt4all_status> allowed, const char *call) {
    if (std::find(allowed.begin(), allowed.end(), status) == allowed.end()) {
        fail(std::string(call) + " gave " + std::to_string(status) + ": " + gpt4all_last_error());
    }
    expect(status == GPT4ALL_OK || gpt4all_last_error()[0] != '\0', std::string(call) + " failed without a reason");
}

bool is_valid_utf8(const std::string &text) {
    for (std::size_t i = 0; i < text.size();) {
        const auto first = static_cast<unsigned char>(text[i]);
        const std::size_t length = first < 0x80 ? 1 : first < 0xC2 ? 0 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
        if (length == 0 || first > 0xF4 || i + length > text.size()) return false;
        for (std::size_t k = 1; k < length; k++) {
            const auto next = static_cast<unsigned char>(text[i + k]);
            // Overlong forms, surrogates and what lies beyond the last code point show in the second byte.
            const unsigned low = k > 1 ? 0x80 : first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
            const unsigned high = k > 1 ? 0xBF : first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
            if (next < low || next > high) return false;
        }
        i += length;
    }
    return true;
}

gpt4all_model *model(const char *name, int32_t n_ctx) {
    // Never destroyed, so that the models are no leaks at exit.
    static auto &loaded = *new std::map<std::pair<std::string, int32_t>, gpt4all_model *>;
    gpt4all_model *&found = loaded[{name, n_ctx}];
    if (found != nullptr) return found;
    const char *directory = std::getenv("GPT4ALL_FUZZ_MODELS");
    expect(directory != nullptr, "GPT4ALL_FUZZ_MODELS does not say where the models are");
    gpt4all_load_options options = {};
    expect(gpt4all_init() == GPT4ALL_OK && gpt4all_load_options_init(&options, sizeof options) == GPT4ALL_OK, "init");
    options.n_ctx = n_ctx;
    options.n_batch = 16;
    options.n_threads = options.n_threads_batch = 1;
    options.prefix_cache_bytes = 1024 * 1024;
    const std::string path = std::string(directory) + "/" + name + ".gguf";
    expect_status(gpt4all_model_load(path.c_str(), &options, &found), {GPT4ALL_OK}, "gpt4all_model_load");
    return found;
}

std::vector<int32_t> tokenize(const gpt4all_model *model, const std::string &text, int32_t flags) {
    int32_t n = 0;
    const auto length = static_cast<int64_t>(text.size());
    const gpt4all_status status = gpt4all_tokenize(model, text.data(), length, flags, nullptr, nullptr, 0, &n);
    if (!is_valid_utf8(text) && status != GPT4ALL_OK && status != GPT4ALL_ERROR_BUFFER_TOO_SMALL) return {};
    expect_status(status, {n == 0 ? GPT4ALL_OK : GPT4ALL_ERROR_BUFFER_TOO_SMALL}, "gpt4all_tokenize");
    std::vector<int32_t> tokens(static_cast<std::size_t>(n));
    int32_t again = 0;
    expect_status(gpt4all_tokenize(model, text.data(), length, flags, nullptr, tokens.data(), n, &again), {GPT4ALL_OK},
                  "gpt4all_tokenize with room");
    expect(again == n, "two counts of the same tokens");
    return tokens;
}

std::string detokenize(const gpt4all_model *model, const std::vector<int32_t> &tokens) {
    int64_t length = 0;
    const auto n = static_cast<int32_t>(tokens.size());
    const gpt4all_status status = gpt4all_detokenize(model, tokens.data(), n, nullptr, 0, &length);
    expect_status(status, {length == 0 ? GPT4ALL_OK : GPT4ALL_ERROR_BUFFER_TOO_SMALL}, "gpt4all_detokenize");
    std::string text(static_cast<std::size_t>(length), '\0');
    int64_t again = 0;
    expect_status(gpt4all_detokenize(model, tokens.data(), n, text.data(), length, &again), {GPT4ALL_OK},
                  "gpt4all_detokenize with room");
    expect(again == length, "two lengths of the same text");
    return text;
}

std::vector<int32_t> tokenize_parts(const gpt4all_model *model, const std::vector<gpt4all_text_part> &parts,
                                    int32_t flags, bool valid_text) {
    int32_t n = 0;
    const auto n_parts = static_cast<int64_t>(parts.size());
    const gpt4all_status status = gpt4all_tokenize_parts(model, parts.data(), n_parts, flags, nullptr, nullptr, 0, &n);
    if (!valid_text && status != GPT4ALL_OK && status != GPT4ALL_ERROR_BUFFER_TOO_SMALL) return {};
    expect_status(status, {n == 0 ? GPT4ALL_OK : GPT4ALL_ERROR_BUFFER_TOO_SMALL}, "gpt4all_tokenize_parts");
    std::vector<int32_t> tokens(static_cast<std::size_t>(n));
    int32_t again = 0;
    expect_status(gpt4all_tokenize_parts(model, parts.data(), n_parts, flags, nullptr, tokens.data(), n, &again),
                  {GPT4ALL_OK}, "gpt4all_tokenize_parts with room");
    expect(again == n, "two counts of the same tokens");
    return tokens;
}

} // namespace fuzz
