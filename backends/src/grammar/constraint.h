// Which tokens may come next so that an answer keeps to a grammar.
#pragma once

#include "grammar/grammar_vocabulary.h"

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace gpt4all {

// Marks around a reasoning model's thinking, which the grammar leaves alone.
struct ThinkingMarks {
    std::string open; // empty: the prompt has it
    std::string close;
    bool closes_with_call = false; // thinking may also end with a trigger
};

// Where in an answer a grammar holds.
struct GrammarScope {
    ThinkingMarks thinking;
    // Beginnings of what the grammar describes.
    std::vector<std::string> triggers;
    // Whether text before one of those is free. Else the grammar holds from the
    // start, or from the end of thinking.
    bool waits = false;
    // What the grammar has before the answer: the end of the prompt.
    std::string prompt;
    // Control tokens that count as their texts.
    std::vector<llama_token> tokens;
};

class GrammarConstraint {
public:
    // `vocabulary`, `vocab` and the flag, which may be null, outlive this;
    // without a closing mark nobody thinks. Work throws Cancelled once the flag is set,
    // and refuses a grammar that takes too much of it.
    GrammarConstraint(Grammar grammar, GrammarScope scope, GrammarVocabulary &vocabulary, const llama_vocab *vocab,
                      const int32_t *cancel = nullptr);

    // Work that allows() and mask() may do until they throw GrammarPaused; asked the same again, they go on.
    void set_budget(std::size_t budget) { matcher_.set_budget(budget); }

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
        FREE, // before a trigger
        GAP,  // after thinking, white space that is no part of the answer
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
    bool advance_free(Position &at, std::string_view text);
    bool advance_answer(Position &at, llama_token token);
    bool after_thinking(Position &at, const std::string &rest);
    bool may_end() const;
    std::string spelled(llama_token token) const;
    std::string_view said(llama_token token) const;
    std::size_t find_trigger(std::string_view text) const;
    bool may_be_of_mark(std::string_view text) const;
    void begin_token();
    TokenMask find_allowed();
    TokenMask answers();

    bool is_lazy() const { return scope_.waits; }

    GrammarMatcher matcher_;
    GrammarScope scope_;
    ThinkingMarks &marks_;
    std::unordered_map<llama_token, std::string> written_; // control tokens that count
    GrammarMatcher::Place begin_;
    GrammarVocabulary &vocabulary_;
    const Vocabulary &texts_;
    const llama_vocab *vocab_;
    std::unordered_map<uint32_t, TokenMask> masks_; // by state, of the answer
    Position at_;
};

} // namespace gpt4all
