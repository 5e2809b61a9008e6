#include "grammar/splice.h"

#include <algorithm>
#include <cstddef>

namespace gpt4all {
namespace {

bool is_word(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

// Where what begins at `at` and is closed by `close` ends, escapes left alone.
std::size_t after_closed(std::string_view text, std::size_t at, char close) {
    for (at++; at < text.size() && text[at] != close; at++) at += text[at] == '\\' ? 1 : 0;
    return std::min(at + 1, text.size());
}

char closer(char open) {
    switch (open) {
    case '"': return '"';
    case '[': return ']';
    case '{': return '}'; // a number of repetitions
    case '<': return '>'; // a token
    case '#': return '\n';
    default: return '\0';
    }
}

} // namespace

std::string with_prefix(std::string_view grammar, std::string_view prefix) {
    std::string out;
    std::size_t at = 0;
    while (at < grammar.size()) {
        const std::size_t begin = at;
        if (const char close = closer(grammar[at]); close != '\0') {
            at = after_closed(grammar, at, close);
        } else if (is_word(grammar[at])) {
            while (at < grammar.size() && is_word(grammar[at])) at++;
            out += prefix;
        } else {
            at++;
        }
        out += grammar.substr(begin, at - begin);
    }
    return out;
}

} // namespace gpt4all
