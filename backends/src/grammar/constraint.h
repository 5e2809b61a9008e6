// Which tokens may come next so that an answer keeps to a grammar.
#pragma once

#include "grammar/grammar_vocabulary.h"

#include <string>
#include <unordered_map>

namespace gpt4all {

// Marks around a reasoning model's thinking, which the grammar leaves alone.
struct ThinkingMarks {
    std::string open; // empty: the prompt has it
    std::string close;
};

class GrammarConstraint {
public:
    // `vocabulary`, `vocab` and the flag, which may be null, outlive this;
    // without a closing mark nobody thinks. Work throws Cancelled once the flag is set,
    // and refuses a grammar that takes too much of it.
    GrammarConstraint(Grammar grammar, ThinkingMarks marks, GrammarVocabulary &vocabulary, const llama_vocab *vocab,
                      const int32_t *cancel = nullptr);

    bool allows(llama_token token);

    // Bans every token that may not come next. False when none is left.
    bool mask(float *logits);

    // Adds a token that may come next.
    void accept(llama_token token);

    // Whether nothing may follow.
    bool finished() const { return at_.phase == Phase::ANSWER && matcher_.must_end(at_.place); }

private:
    enum class Phase {
        UNDECIDED, // the answer may still turn out to begin with thinking
        THINKING,
        GAP, // after thinking, white space that is no part of the answer
        ANSWER,
    };
    struct Position {
        Phase phase;
        GrammarMatcher::Place place;
        std::string text; // that may be part of a mark
        int gap_tokens = 0;
    };

    bool advance(Position &at, llama_token token);
    bool advance_undecided(Position &at, llama_token token);
    bool advance_thinking(Position &at, const std::string &text);
    bool advance_answer(Position &at, llama_token token);
    bool may_end() const;
    std::string spelled(llama_token token) const;
    bool may_be_of_mark(std::string_view text) const;
    void begin_token();
    TokenMask find_allowed();
    TokenMask answers();

    GrammarMatcher matcher_;
    ThinkingMarks marks_;
    GrammarVocabulary &vocabulary_;
    const Vocabulary &texts_;
    const llama_vocab *vocab_;
    std::unordered_map<uint32_t, TokenMask> masks_; // by state, of the answer
    Position at_;
};

} // namespace gpt4all
