#include "grammar/constraint.h"

#include <algorithm>
#include <limits>

namespace gpt4all {
namespace {

constexpr float NEVER = -std::numeric_limits<float>::infinity();

// Tokens of white space between thinking and answer: models are used to a few.
constexpr int MAX_GAP_TOKENS = 4;

// Of the states of one answer: a megabyte for the largest vocabularies.
constexpr std::size_t MAX_MASKS = 32;

constexpr std::string_view WHITE_SPACE = " \t\r\n";

std::string_view without_leading_space(std::string_view text) {
    text.remove_prefix(std::min(text.find_first_not_of(WHITE_SPACE), text.size()));
    return text;
}

bool begins_with(std::string_view text, std::string_view beginning) {
    return text.substr(0, beginning.size()) == beginning;
}

} // namespace

GrammarConstraint::GrammarConstraint(Grammar grammar, GrammarScope scope, GrammarVocabulary &vocabulary,
                                     const llama_vocab *vocab, const int32_t *cancel)
    : matcher_(std::move(grammar), cancel), scope_(std::move(scope)), marks_(scope_.thinking), begin_(matcher_.start()),
      vocabulary_(vocabulary), texts_(vocabulary.texts), vocab_(vocab), at_{Phase::ANSWER, {}, {}} {
    for (const llama_token token : scope_.tokens) written_[token] = token_text(vocab, token, true);
    if (!matcher_.feed(begin_, scope_.prompt)) {
        throw Error(GPT4ALL_ERROR_INTERNAL, "the grammar does not begin as the prompt ends");
    }
    at_.place = begin_;
    if (!marks_.close.empty()) {
        at_.phase = marks_.open.empty() ? Phase::THINKING : Phase::UNDECIDED;
    } else if (is_lazy()) {
        at_.phase = Phase::FREE;
    }
}

bool GrammarConstraint::may_end() const {
    if (is_lazy() && at_.phase != Phase::ANSWER) return true;
    const bool thinks = at_.phase == Phase::THINKING || (at_.phase == Phase::UNDECIDED && !at_.text.empty());
    return !thinks && matcher_.may_end(at_.place);
}

// A token's text with marks, which may be control tokens.
std::string GrammarConstraint::spelled(llama_token token) const {
    const std::string_view text = texts_.text(token);
    return text.empty() ? token_text(vocab_, token, true) : std::string(text);
}

// What the answer's text has of a token.
std::string_view GrammarConstraint::said(llama_token token) const {
    if (!written_.empty()) {
        const auto found = written_.find(token);
        if (found != written_.end()) return found->second;
    }
    return texts_.text(token);
}

// Where the first trigger begins.
std::size_t GrammarConstraint::find_trigger(std::string_view text) const {
    std::size_t first = std::string_view::npos;
    for (const std::string &trigger : scope_.triggers) first = std::min(first, text.find(trigger));
    return first;
}

bool GrammarConstraint::advance(Position &at, llama_token token) {
    switch (at.phase) {
    case Phase::FREE: return advance_free(at, said(token));
    case Phase::UNDECIDED: return advance_undecided(at, token);
    case Phase::THINKING: return advance_thinking(at, spelled(token));
    case Phase::GAP:
        if (!texts_.text(token).empty() && without_leading_space(texts_.text(token)).empty() &&
            at.gap_tokens < MAX_GAP_TOKENS) {
            at.gap_tokens++;
            return true;
        }
        at.phase = Phase::ANSWER;
        return advance_answer(at, token);
    case Phase::ANSWER: return advance_answer(at, token);
    }
    return false;
}

bool GrammarConstraint::advance_answer(Position &at, llama_token token) {
    return matcher_.feed_token(at.place, token, said(token));
}

bool GrammarConstraint::advance_free(Position &at, std::string_view text) {
    at.text += text;
    const std::size_t found = find_trigger(at.text);
    if (found == std::string::npos) {
        std::size_t kept = 0; // what may be the beginning of one
        for (const std::string &trigger : scope_.triggers) kept = std::max(kept, trigger.size() - 1);
        if (at.text.size() > kept) at.text.erase(0, at.text.size() - kept);
        return true;
    }
    const std::string rest = at.text.substr(found);
    at.text.clear();
    at.phase = Phase::ANSWER;
    return matcher_.feed(at.place, rest);
}

// The model decides: a beginning of the opening mark, or what the grammar wants.
bool GrammarConstraint::advance_undecided(Position &at, llama_token token) {
    at.text += spelled(token);
    const bool answers = is_lazy() || advance_answer(at, token);
    const std::string_view text = without_leading_space(at.text);
    if (begins_with(text, marks_.open)) {
        const std::string rest(text.substr(marks_.open.size()));
        at.phase = Phase::THINKING;
        at.place = begin_;
        at.text.clear();
        return advance_thinking(at, rest);
    }
    if (!text.empty() && begins_with(marks_.open, text)) return true;
    if (is_lazy()) {
        if (text.empty()) return true;
        at.phase = Phase::FREE;
        return advance_free(at, "");
    }
    at.phase = Phase::ANSWER;
    return answers;
}

bool GrammarConstraint::advance_thinking(Position &at, const std::string &text) {
    at.text += text;
    const std::size_t found = at.text.find(marks_.close);
    const std::size_t call = marks_.closes_with_call ? find_trigger(at.text) : std::string::npos;
    if (found == std::string::npos && call == std::string::npos) {
        std::size_t kept = marks_.close.size() - 1;
        if (marks_.closes_with_call) {
            for (const std::string &trigger : scope_.triggers) kept = std::max(kept, trigger.size() - 1);
        }
        if (at.text.size() > kept) at.text.erase(0, at.text.size() - kept);
        return true;
    }
    const std::string rest = at.text.substr(call < found ? call : found + marks_.close.size());
    at.text.clear();
    return after_thinking(at, rest);
}

bool GrammarConstraint::after_thinking(Position &at, const std::string &said_already) {
    if (is_lazy()) {
        at.phase = Phase::FREE;
        return advance_free(at, said_already);
    }
    const std::string rest(without_leading_space(said_already));
    // White space leads up to an answer, and an empty one is complete already.
    at.phase = rest.empty() && !matcher_.must_end(at.place) ? Phase::GAP : Phase::ANSWER;
    return matcher_.feed(at.place, rest);
}

void GrammarConstraint::begin_token() {
    if (matcher_.begin_token(at_.place)) masks_.clear();
}

bool GrammarConstraint::allows(llama_token token) {
    begin_token();
    if (llama_vocab_is_eog(vocab_, token)) return may_end();
    Position next = at_;
    return advance(next, token);
}

// Mostly remembered from when it was asked about.
void GrammarConstraint::accept(llama_token token) {
    matcher_.set_budget(GrammarMatcher::NO_BUDGET);
    advance(at_, token);
}

// Whether a token of this text can be more than what the answer, or thinking, makes of it.
bool GrammarConstraint::may_be_of_mark(std::string_view text) const {
    switch (at_.phase) {
    case Phase::THINKING:
        if (text.find(marks_.close.back()) != std::string_view::npos) return true;
        if (!marks_.closes_with_call) return false;
        [[fallthrough]];
    case Phase::FREE:
        return std::any_of(scope_.triggers.begin(), scope_.triggers.end(), [&](const std::string &trigger) {
            return text.find(trigger.back()) != std::string_view::npos;
        });
    case Phase::GAP: return without_leading_space(text).empty();
    case Phase::UNDECIDED: {
        const std::size_t known = without_leading_space(at_.text).size();
        const std::string_view rest = known == 0 ? without_leading_space(text) : text;
        return rest.empty() || rest.front() == marks_.open[known];
    }
    case Phase::ANSWER: break;
    }
    return false;
}

// What may come next where an answer is written.
TokenMask GrammarConstraint::answers() {
    const bool whole = at_.place.begun == 0;
    const auto known = masks_.find(at_.place.state);
    if (whole && known != masks_.end()) return known->second;
    TokenMask allowed(static_cast<std::size_t>(texts_.size()));
    vocabulary_.find_allowed(matcher_, at_.place, allowed);
    for (const auto &[token, text] : written_) {
        GrammarMatcher::Place next = at_.place;
        allowed.put(static_cast<std::size_t>(token), matcher_.feed_token(next, token, text));
    }
    for (const GrammarElement &named : matcher_.named_tokens(at_.place)) {
        const bool had = allowed.has(named.value);
        if (named.kind == GrammarElement::TOKEN_NOT) allowed.add_all();
        allowed.put(named.value, had || named.kind == GrammarElement::TOKEN);
    }
    if (whole) {
        if (masks_.size() == MAX_MASKS) masks_.clear();
        masks_.emplace(at_.place.state, allowed);
    }
    return allowed;
}

TokenMask GrammarConstraint::find_allowed() {
    if (at_.phase == Phase::ANSWER) return answers();
    TokenMask allowed(static_cast<std::size_t>(texts_.size()));
    if (at_.phase == Phase::THINKING || at_.phase == Phase::FREE || is_lazy()) {
        allowed.add_all();
    } else {
        allowed = answers();
    }
    const auto ask = [&](llama_token token) {
        Position next = at_;
        allowed.put(static_cast<std::size_t>(token), advance(next, token));
    };
    // In their order in memory.
    for (std::size_t i = 0; i < texts_.n_entries(); i++) {
        if (may_be_of_mark(texts_.entry_text(i))) ask(texts_.entry(i).token);
    }
    for (llama_token token = 0; token < texts_.size(); token++) {
        if (texts_.text(token).empty() && may_be_of_mark(spelled(token))) ask(token);
    }
    return allowed;
}

bool GrammarConstraint::mask(float *logits) {
    begin_token();
    TokenMask allowed = find_allowed();
    for (const llama_token token : texts_.ends()) allowed.put(static_cast<std::size_t>(token), may_end());
    return allowed.apply(logits, NEVER);
}

} // namespace gpt4all
