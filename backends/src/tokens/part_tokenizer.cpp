// Tokenising text of which only some parts may hold control tokens.
//
// The parts are joined first: only then do words and lines that cross from one
// part into the next get the tokens they would have as one text. Between two
// control tokens the joined text is handed to the engine as plain text.
#include "chat/state.h"
#include "model/model.h"
#include "tokens/tokenize_cancel.h"

#include <algorithm>
#include <cctype>
#include <cstring>
#include <limits>
#include <string>
#include <utility>

namespace gpt4all {
namespace {

constexpr int64_t MAX_TEXT = std::numeric_limits<int32_t>::max();
// A byte that merges with nothing in a sentence-piece vocabulary.
constexpr const char *ANCHOR = "\x01";

std::vector<llama_token> tokenize_plain(const llama_vocab *vocab, const std::string &text, bool add_special = false) {
    std::vector<llama_token> tokens(text.size() + 8);
    const auto length = static_cast<int32_t>(text.size());
    int32_t n = llama_tokenize(vocab, text.data(), length, tokens.data(), static_cast<int32_t>(tokens.size()),
                               add_special, false);
    if (n == std::numeric_limits<int32_t>::min()) invalid_argument("the text has too many tokens");
    if (n < 0) {
        tokens.resize(static_cast<std::size_t>(-n));
        n = llama_tokenize(vocab, text.data(), length, tokens.data(), -n, add_special, false);
    }
    tokens.resize(static_cast<std::size_t>(std::max(n, 0)));
    return tokens;
}

class PartTokenizer {
public:
    explicit PartTokenizer(const gpt4all_model &model) : vocab_(model.vocab), marks_(model.chat->marks) {}

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

std::vector<llama_token> tokenize_parts(const gpt4all_model &model, const gpt4all_text_part *parts, int64_t n_parts,
                                        bool add_special) {
    PartTokenizer tokenizer(model);
    std::string text;
    int64_t total = 0;
    for (int64_t i = 0; i < n_parts; i++) {
        const gpt4all_text_part &part = parts[i];
        const std::string name = "parts[" + std::to_string(i) + "]";
        if (part.length < 0 || part.length > MAX_TEXT - total)
            invalid_argument(name + " has a negative length, or one too many");
        if (part.length > 0) require(part.data, (name + ".data").c_str());
        if (part.reserved != 0) invalid_argument(name + ".reserved is not 0");
        total += part.length;
        if (part.length > 0) text.append(part.data, static_cast<std::size_t>(part.length));
        // Neighbours of one kind are one text.
        const bool parse_special = part.parse_special != 0;
        if (i + 1 < n_parts && (parts[i + 1].parse_special != 0) == parse_special) continue;
        tokenizer.add(text, parse_special);
        text.clear();
    }
    return tokenizer.finish(add_special);
}

} // namespace
} // namespace gpt4all

gpt4all_status gpt4all_tokenize_parts(const gpt4all_model *model, const gpt4all_text_part *parts, int64_t n_parts,
                                      int32_t flags, const int32_t *cancel, int32_t *tokens, int32_t capacity,
                                      int32_t *count) {
    return gpt4all::guarded([&] {
        using namespace gpt4all;
        require(model, "model");
        require(count, "count");
        *count = 0;
        if (n_parts < 0) invalid_argument("n_parts must not be negative");
        if (n_parts > 0) require(parts, "parts");
        if (capacity < 0) invalid_argument("capacity must not be negative");
        if (capacity > 0) require(tokens, "tokens");
        if ((flags & ~GPT4ALL_TOKENIZE_ADD_SPECIAL) != 0) invalid_argument("flags has a bit that parts do not take");
        const TokenizeCancel scope(cancel);
        const std::vector<llama_token> made =
            tokenize_parts(*model, parts, n_parts, (flags & GPT4ALL_TOKENIZE_ADD_SPECIAL) != 0);
        *count = static_cast<int32_t>(made.size());
        if (made.size() > static_cast<std::size_t>(capacity)) {
            throw Error(GPT4ALL_ERROR_BUFFER_TOO_SMALL, "the text has " + std::to_string(made.size()) +
                                                            " tokens, but only " + std::to_string(capacity) + " fit");
        }
        if (!made.empty()) std::memcpy(tokens, made.data(), made.size() * sizeof(llama_token));
    });
}
