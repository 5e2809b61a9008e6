// A model's vocabulary as grammars go over it: one for all calls on a model, of which each waits for the one before.
#pragma once

#include "grammar/matcher.h"
#include "grammar/token_mask.h"
#include "tokens/vocabulary.h"

#include <cstddef>
#include <deque>
#include <vector>

namespace gpt4all {

class GrammarVocabulary {
public:
    explicit GrammarVocabulary(const llama_vocab *vocab);

    // Adds the tokens whose text may come next. Within a string that are most,
    // of characters that are all the same to the grammar: those are known from
    // the first time that a class of characters comes up.
    void find_allowed(GrammarMatcher &matcher, const GrammarMatcher::Place &place, TokenMask &allowed);

    const Vocabulary texts;

private:
    // The short tokens whose text is nothing but characters of one class.
    struct Slice {
        std::vector<CodeRange> characters;
        TokenMask tokens;
        TokenMask entries; // the same, by their places in the order of the vocabulary
    };

    std::size_t token_of(std::size_t entry) const { return static_cast<std::size_t>(texts.entry(entry).token); }
    void walk(GrammarMatcher &matcher, const GrammarMatcher::Place &place, const TokenMask &known,
              TokenMask &allowed) const;
    const Slice &slice(const CharacterClass &characters);
    Slice make_slice(const CharacterClass &characters) const;

    std::vector<TokenMask> at_most_; // by a number of characters, the tokens with no more
    std::deque<Slice> slices_;
};

} // namespace gpt4all
