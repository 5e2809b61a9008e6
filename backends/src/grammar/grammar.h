// A GBNF grammar, read, checked and bounded. The language is llama.cpp's; the
// reader is our own because a grammar may come from anywhere: llama.cpp's
// prints what it refuses on stderr, refuses repetitions that schemas have (more
// than 2,000 rules once they are multiplied out), and misses left recursion
// behind rules that are empty indirectly.
#pragma once

#include "base/guard.h"
#include "grammar/character_class.h"

#include "llama.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace gpt4all {

struct GrammarElement {
    enum Kind : uint32_t { END, CHARACTER, RULE, TOKEN, TOKEN_NOT };
    Kind kind;
    uint32_t value; // index of the class or rule, or the token's id
};

struct Grammar {
    struct Rule {
        uint32_t first; // of its alternatives
        uint32_t count;
        bool may_be_empty = false; // whether the empty text is one of its
    };

    std::vector<CharacterClass> classes;
    std::vector<GrammarElement> elements; // each alternative's, closed by END
    std::vector<uint32_t> alternatives;   // where each begins; those of a rule before those of what it begins with
    std::vector<Rule> rules;
    std::vector<std::string> names; // of the rules; those of repetitions and groups have none
    uint32_t root = 0;
};

// Throws GPT4ALL_ERROR_INVALID_ARGUMENT with line and column.
Grammar parse_grammar(std::string_view text, const llama_vocab *vocab);

// Refuses rules that could be expanded for ever, or that no text ends, and
// fills in what is known of the others then: which may be empty, and the order
// of their alternatives. Rules that begin with each other and nothing more say
// the same, and share theirs.
void check_grammar(Grammar &grammar);

} // namespace gpt4all
