#include "tokens/marks.h"

#include <algorithm>

namespace gpt4all {
namespace {

bool is_enclosed(std::string_view text, std::string_view opening, std::string_view closing) {
    return text.size() > opening.size() + closing.size() && text.substr(0, opening.size()) == opening &&
           text.substr(text.size() - closing.size()) == closing;
}

// Files made by older converters have these as plain additions to the vocabulary.
bool looks_like_control(std::string_view text) {
    if (is_enclosed(text, "<|", "|>") || is_enclosed(text, "<\uff5c", "\uff5c>")) return true;
    if (text == "<start_of_turn>" || text == "<end_of_turn>") return true;
    return is_enclosed(text, "[", "]") && std::all_of(text.begin() + 1, text.end() - 1, [](char c) {
               return (c >= 'A' && c <= 'Z') || c == '_' || c == '/';
           });
}

std::size_t first_byte(std::string_view text) { return static_cast<unsigned char>(text[0]); }

} // namespace

void TokenMarks::collect(const llama_vocab *vocab) {
    for (llama_token id = 0; id < llama_vocab_n_tokens(vocab); id++) {
        const auto attributes = llama_vocab_get_attr(vocab, id);
        const bool special = (attributes & (LLAMA_TOKEN_ATTR_CONTROL | LLAMA_TOKEN_ATTR_UNKNOWN)) != 0;
        if (!special && (attributes & LLAMA_TOKEN_ATTR_USER_DEFINED) == 0) continue;
        const std::string text = llama_vocab_get_text(vocab, id);
        if (text.empty()) continue;
        const bool control = special || looks_like_control(text);
        marks_.push_back({text, id, control, (attributes & LLAMA_TOKEN_ATTR_LSTRIP) != 0,
                          (attributes & LLAMA_TOKEN_ATTR_RSTRIP) != 0});
        all_[first_byte(text)].push_back(marks_.size() - 1);
        if (control && !special) unprotected_[first_byte(text)].push_back(marks_.size() - 1);
    }
}

std::vector<MarkMatch> TokenMarks::find_all(std::string_view text,
                                            const std::array<std::vector<std::size_t>, 256> &index) const {
    std::vector<MarkMatch> matches;
    for (std::size_t at = 0; at < text.size(); at++) {
        for (const std::size_t place : index[first_byte(text.substr(at))]) {
            const TokenMark &mark = marks_[place];
            if (text.compare(at, mark.text.size(), mark.text) == 0) matches.push_back({at, &mark});
        }
    }
    return matches;
}

std::vector<MarkMatch> TokenMarks::find(const llama_vocab *vocab, std::string_view text) {
    std::call_once(collected_, [&] { collect(vocab); });
    std::vector<MarkMatch> matches = find_all(text, all_);
    std::stable_sort(matches.begin(), matches.end(),
                     [](const MarkMatch &a, const MarkMatch &b) { return a.mark->text.size() > b.mark->text.size(); });
    std::vector<bool> taken(text.size(), false);
    std::vector<MarkMatch> found;
    for (const MarkMatch &match : matches) {
        const std::size_t end = match.at + match.mark->text.size();
        // What overlaps is no longer, so one of its ends shows it.
        if (taken[match.at] || taken[end - 1]) continue;
        std::fill(taken.begin() + static_cast<std::ptrdiff_t>(match.at),
                  taken.begin() + static_cast<std::ptrdiff_t>(end), true);
        found.push_back(match);
    }
    std::sort(found.begin(), found.end(), [](const MarkMatch &a, const MarkMatch &b) { return a.at < b.at; });
    return found;
}

std::vector<MarkMatch> TokenMarks::find_unprotected(const llama_vocab *vocab, std::string_view text) {
    std::call_once(collected_, [&] { collect(vocab); });
    return find_all(text, unprotected_);
}

} // namespace gpt4all
