#include "tokens/part_tokenizer.h"

#include "tokens/tokenizer.h"

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <string>
#include <utility>

namespace gpt4all {
namespace {

// A byte that merges with nothing in a sentence-piece vocabulary.
constexpr const char *ANCHOR = "\x01";

std::vector<llama_token> tokenize_plain(const llama_vocab *vocab, const std::string &text, bool add_special = false) {
    std::vector<llama_token> tokens(text.size() + 8);
    const int32_t n = tokenize(vocab, text, add_special, false, tokens.data(), static_cast<int32_t>(tokens.size()));
    const bool fits = static_cast<std::size_t>(n) <= tokens.size();
    tokens.resize(static_cast<std::size_t>(n));
    if (!fits) tokenize(vocab, text, add_special, false, tokens.data(), n);
    return tokens;
}

class PartTokenizer {
public:
    PartTokenizer(const llama_vocab *vocab, TokenMarks &marks) : vocab_(vocab), marks_(marks) {}

    void add(const std::string &text, bool parse_special) {
        if (!parse_special) {
            plain_ += text;
            return;
        }
        std::size_t at = 0;
        for (const MarkMatch &match : marks_.find(vocab_, text)) {
            // The engine finds the others in the plain text.
            if (!match.mark->control) continue;
            plain_.append(text, at, match.at - at);
            at = match.at + match.mark->text.size();
            add_mark(*match.mark);
        }
        plain_.append(text, at, std::string::npos);
    }

    std::vector<llama_token> finish(bool add_special) {
        flush();
        if (!add_special) return std::move(tokens_);
        // What the engine puts around a text with nothing in it.
        const std::vector<llama_token> around = tokenize_plain(vocab_, "", true);
        const bool begins = llama_vocab_get_add_bos(vocab_) || llama_vocab_type(vocab_) == LLAMA_VOCAB_TYPE_WPM;
        const auto split = around.begin() + (begins && !around.empty() ? 1 : 0);
        tokens_.insert(tokens_.begin(), around.begin(), split);
        tokens_.insert(tokens_.end(), split, around.end());
        return std::move(tokens_);
    }

private:
    void add_mark(const TokenMark &mark) {
        if (mark.strips_left) {
            while (!plain_.empty() && std::isspace(static_cast<unsigned char>(plain_.back()))) plain_.pop_back();
        }
        flush();
        tokens_.push_back(mark.id);
        strip_next_ = mark.strips_right;
    }

    void flush() {
        if (strip_next_) {
            const auto is_space = [](unsigned char c) { return std::isspace(c) != 0; };
            plain_.erase(plain_.begin(), std::find_if_not(plain_.begin(), plain_.end(), is_space));
        }
        strip_next_ = false;
        std::size_t at = 0;
        for (const std::size_t cut : unprotected_cuts()) {
            append(plain_.substr(at, cut - at), at > 0);
            at = cut;
        }
        append(plain_.substr(at), at > 0);
        plain_.clear();
    }

    // Places within what looks like a control token, came from a message, and
    // would get that token also as plain text: cut in two it does not.
    std::vector<std::size_t> unprotected_cuts() {
        std::vector<std::size_t> cuts;
        for (const MarkMatch &match : marks_.find_unprotected(vocab_, plain_)) cuts.push_back(match.at + 1);
        std::sort(cuts.begin(), cuts.end());
        cuts.erase(std::unique(cuts.begin(), cuts.end()), cuts.end());
        return cuts;
    }

    void append(const std::string &text, bool goes_on) {
        if (text.empty()) return;
        const bool anchored = goes_on && llama_vocab_type(vocab_) == LLAMA_VOCAB_TYPE_SPM;
        std::vector<llama_token> tokens = tokenize_plain(vocab_, (anchored ? ANCHOR : "") + text);
        auto first = tokens.begin();
        if (anchored) {
            // The space that every text gets in front comes before the anchor.
            const llama_token anchor = tokenize_plain(vocab_, ANCHOR).back();
            first = std::find(tokens.begin(), tokens.end(), anchor);
            if (first != tokens.end()) ++first;
        }
        tokens_.insert(tokens_.end(), first, tokens.end());
    }

    const llama_vocab *vocab_;
    TokenMarks &marks_;
    std::vector<llama_token> tokens_;
    std::string plain_; // since the last control token
    bool strip_next_ = false;
};

} // namespace

std::vector<llama_token> tokenize_parts(const llama_vocab *vocab, TokenMarks &marks, const gpt4all_text_part *parts,
                                        int64_t n_parts, bool add_special) {
    PartTokenizer tokenizer(vocab, marks);
    std::string text;
    for (int64_t i = 0; i < n_parts; i++) {
        const gpt4all_text_part &part = parts[i];
        if (part.length > 0) text.append(part.data, static_cast<std::size_t>(part.length));
        // Neighbours of one kind are one text.
        const bool parse_special = part.parse_special != 0;
        if (i + 1 < n_parts && (parts[i + 1].parse_special != 0) == parse_special) continue;
        tokenizer.add(text, parse_special);
        text.clear();
    }
    return tokenizer.finish(add_special);
}

} // namespace gpt4all
