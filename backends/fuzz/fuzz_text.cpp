// Text of any kind through the three functions that turn it into tokens and back.
//
// Input: which vocabulary, the flags, which parts may hold control tokens (a
// bit for each, again from the first after eight), then the parts' texts.
#include "fuzz.h"

#include <algorithm>
#include <iterator>

namespace {

struct Vocabulary {
    const char *model;
    const char *control;
};

constexpr Vocabulary VOCABULARIES[] = {
    {"tiny-llama", "<|im_end|>"}, {"tiny-llama-bpe", "<|im_end|>"}, {"tiny-bert", "[SEP]"},
    {"tiny-t5", "<pad>"},         {"tiny-gemma3", "<end_of_turn>"},
};

void check_parts(const gpt4all_model *model, const char *control, const std::vector<std::string> &texts, uint8_t parse,
                 int32_t flags) {
    std::vector<gpt4all_text_part> parts;
    std::string joined;
    for (std::size_t i = 0; i < texts.size(); i++) {
        parts.push_back({texts[i].data(), static_cast<int64_t>(texts[i].size()), (parse >> (i % 8)) & 1, 0});
        joined += texts[i];
    }
    const std::vector<int32_t> tokens = fuzz::tokenize_parts(model, parts, flags, fuzz::is_valid_utf8(joined));
    fuzz::detokenize(model, tokens);
    if (parse != 0 || flags != 0) return;
    const std::vector<int32_t> forbidden = fuzz::tokenize(model, control, GPT4ALL_TOKENIZE_PARSE_SPECIAL);
    fuzz::expect(forbidden.size() == 1, "the control token is one token");
    fuzz::expect(std::find(tokens.begin(), tokens.end(), forbidden[0]) == tokens.end(), "plain text became control");
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, std::size_t size) {
    fuzz::Input input(data, size);
    const Vocabulary &vocabulary = VOCABULARIES[input.byte() % std::size(VOCABULARIES)];
    const gpt4all_model *model = fuzz::model(vocabulary.model, 16);
    const int32_t flags = input.byte() % 4;
    const uint8_t parse = input.byte();
    std::vector<std::string> texts;
    while (!input.done()) texts.push_back(input.text());
    for (const std::string &text : texts) fuzz::detokenize(model, fuzz::tokenize(model, text, flags));
    check_parts(model, vocabulary.control, texts, parse, flags & GPT4ALL_TOKENIZE_ADD_SPECIAL);
    return 0;
}
