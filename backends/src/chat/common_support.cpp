// What common/chat uses of llama.cpp's other common sources, which would bring
// threads and output of their own. Some of it is for functions that nothing
// here calls; builds with sanitizers keep them.
#include "common.h"
#include "log.h"
#include "tokens/vocabulary.h"

// Below all levels: nothing is ever added.
int common_log_get_verbosity_thold() { return -1; }
struct common_log *common_log_main() { return nullptr; }
void common_log_add(struct common_log *, enum ggml_log_level, const char *, ...) {}

std::string string_join(const std::vector<std::string> &values, const std::string &separator) {
    std::string joined;
    for (const std::string &value : values) {
        if (&value != &values.front()) joined += separator;
        joined += value;
    }
    return joined;
}

std::vector<std::string> string_split(const std::string &text, const std::string &delimiter) {
    std::vector<std::string> parts;
    std::size_t begin = 0;
    for (std::size_t end = text.find(delimiter); end != std::string::npos; end = text.find(delimiter, begin)) {
        parts.push_back(text.substr(begin, end - begin));
        begin = end + delimiter.size();
    }
    parts.push_back(text.substr(begin));
    return parts;
}

std::string string_repeat(const std::string &text, std::size_t n) {
    std::string repeated;
    for (std::size_t i = 0; i < n; i++) repeated += text;
    return repeated;
}

void string_replace_all(std::string &text, const std::string &search, const std::string &replace) {
    if (!search.empty()) text = string_join(string_split(text, search), replace);
}

std::vector<llama_token> common_tokenize(const llama_vocab *vocab, const std::string &text, bool add_special,
                                         bool parse_special) {
    const auto length = static_cast<int32_t>(text.size());
    std::vector<llama_token> tokens(
        static_cast<std::size_t>(-llama_tokenize(vocab, text.data(), length, nullptr, 0, add_special, parse_special)));
    llama_tokenize(vocab, text.data(), length, tokens.data(), static_cast<int32_t>(tokens.size()), add_special,
                   parse_special);
    return tokens;
}

std::string common_token_to_piece(const llama_vocab *vocab, llama_token token, bool special) {
    return gpt4all::token_text(vocab, token, special);
}
