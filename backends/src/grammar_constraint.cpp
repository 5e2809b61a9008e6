#include "grammar_constraint.h"

#include <algorithm>
#include <limits>

namespace gpt4all {
namespace {

constexpr float NEVER = -std::numeric_limits<float>::infinity();

// Tokens of white space between thinking and answer: models are used to a few.
constexpr int MAX_GAP_TOKENS = 4;

constexpr std::string_view WHITE_SPACE = " \t\r\n";

std::string_view without_leading_space(std::string_view text) {
    text.remove_prefix(std::min(text.find_first_not_of(WHITE_SPACE), text.size()));
    return text;
}

bool begins_with(std::string_view text, std::string_view beginning) {
    return text.substr(0, beginning.size()) == beginning;
}

} // namespace

GrammarConstraint::GrammarConstraint(Grammar grammar, ThinkingMarks marks, const Vocabulary &vocabulary,
                                     const llama_vocab *vocab, const int32_t *cancel)
    : matcher_(std::move(grammar), cancel), marks_(std::move(marks)), vocabulary_(vocabulary), vocab_(vocab),
      at_{marks_.close.empty()  ? Phase::ANSWER
          : marks_.open.empty() ? Phase::THINKING
                                : Phase::UNDECIDED,
          matcher_.start(),
          {}} {}

bool GrammarConstraint::may_end() const {
    const bool thinks = at_.phase == Phase::THINKING || (at_.phase == Phase::UNDECIDED && !at_.text.empty());
    return !thinks && matcher_.may_end(at_.place);
}

bool GrammarConstraint::advance(Position &at, llama_token token) {
    switch (at.phase) {
    case Phase::UNDECIDED: return advance_undecided(at, token);
    case Phase::THINKING: return advance_thinking(at, token_text(vocab_, token, true));
    case Phase::GAP:
        if (!vocabulary_.text(token).empty() && without_leading_space(vocabulary_.text(token)).empty() &&
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
    return matcher_.feed_token(at.place, token, vocabulary_.text(token));
}

// The model decides: a beginning of the opening mark, or what the grammar wants.
bool GrammarConstraint::advance_undecided(Position &at, llama_token token) {
    at.text += token_text(vocab_, token, true);
    const bool answers = advance_answer(at, token);
    const std::string_view text = without_leading_space(at.text);
    if (begins_with(text, marks_.open)) {
        const std::string rest(text.substr(marks_.open.size()));
        at.phase = Phase::THINKING;
        at.place = matcher_.start();
        at.text.clear();
        return advance_thinking(at, rest);
    }
    if (!text.empty() && begins_with(marks_.open, text)) return true;
    at.phase = Phase::ANSWER;
    return answers;
}

bool GrammarConstraint::advance_thinking(Position &at, const std::string &text) {
    at.text += text;
    const std::size_t found = at.text.find(marks_.close);
    if (found == std::string::npos) {
        if (at.text.size() >= marks_.close.size()) at.text.erase(0, at.text.size() - marks_.close.size() + 1);
        return true;
    }
    const std::string rest(without_leading_space(std::string_view(at.text).substr(found + marks_.close.size())));
    at.text.clear();
    // White space leads up to an answer, and an empty one is complete already.
    at.phase = rest.empty() && !matcher_.must_end(at.place) ? Phase::GAP : Phase::ANSWER;
    return matcher_.feed(at.place, rest);
}

bool GrammarConstraint::allows(llama_token token) {
    matcher_.begin_token(at_.place);
    if (llama_vocab_is_eog(vocab_, token)) return may_end();
    Position next = at_;
    return advance(next, token);
}

void GrammarConstraint::accept(llama_token token) { advance(at_, token); }

// Goes over the vocabulary in order, so that the way that a token shares with
// the one before is not gone twice, nor tried again where it led nowhere.
void GrammarConstraint::find_allowed(std::vector<bool> &allowed) {
    std::vector<GrammarMatcher::Place> way = {at_.place};
    bool lost = false; // after the bytes that `way` has
    for (const Vocabulary::Entry &entry : vocabulary_.sorted()) {
        const std::size_t known = way.size() - 1;
        if (lost && entry.shared > known) continue;
        const std::string_view text = vocabulary_.text(entry.token);
        way.resize(std::min<std::size_t>(entry.shared, known) + 1);
        lost = false;
        while (!lost && way.size() <= text.size()) {
            GrammarMatcher::Place next = way.back();
            lost = !matcher_.feed(next, static_cast<unsigned char>(text[way.size() - 1]));
            if (!lost) way.push_back(next);
        }
        if (!lost) allowed[static_cast<std::size_t>(entry.token)] = true;
    }
}

bool GrammarConstraint::mask(float *logits) {
    matcher_.begin_token(at_.place);
    const llama_token n_vocab = vocabulary_.size();
    std::vector<bool> allowed(static_cast<std::size_t>(n_vocab), false);
    const bool end = may_end();
    const bool by_text = at_.phase == Phase::ANSWER && !matcher_.names_tokens(at_.place);
    if (by_text) find_allowed(allowed);
    bool any = false;
    for (llama_token token = 0; token < n_vocab; token++) {
        bool fits = by_text && allowed[static_cast<std::size_t>(token)];
        if (llama_vocab_is_eog(vocab_, token)) {
            fits = end;
        } else if (!by_text) {
            Position next = at_;
            fits = advance(next, token);
        }
        if (!fits) logits[token] = NEVER;
        any = any || (fits && logits[token] > NEVER);
    }
    return any;
}

} // namespace gpt4all
