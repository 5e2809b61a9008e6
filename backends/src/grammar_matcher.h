// Follows a text through a grammar, byte by byte.
//
// A state is the set of all ways to read the text so far, each a stack of the
// grammar's elements that are still to come. Stacks share their lower parts,
// states and the steps between them are remembered, so that going over a
// vocabulary costs a look-up for most bytes. That also bounds ambiguous
// grammars, on which following every way by itself takes exponential time; what
// is left to do for one token throws Cancelled once the caller's flag is set.
#pragma once

#include "grammar.h"

#include <array>
#include <cstdint>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace gpt4all {

class GrammarMatcher {
public:
    // A state, and the beginning of a character that is not complete.
    struct Place {
        uint32_t state = 0;
        uint32_t code = 0;
        uint32_t least = 0;  // code that the encoding's length is for
        uint8_t missing = 0; // bytes of the character
    };

    // The flag may be null, and else outlives this.
    explicit GrammarMatcher(Grammar grammar, const int32_t *cancel = nullptr);

    Place start() const { return start_; }

    // False, with the place lost, when no text of the grammar goes on so.
    bool feed(Place &place, unsigned char byte);
    bool feed(Place &place, std::string_view text);

    // The same for a token, which the grammar may also name by its id.
    bool feed_token(Place &place, int32_t token, std::string_view text);

    // Whether the grammar names tokens by id here, and then this one.
    bool names_tokens(const Place &place) const {
        return place.missing == 0 && !states_[place.state].token_stacks.empty();
    }

    // Whether the text may end here, and whether it must.
    bool may_end(const Place &place) const { return place.missing == 0 && states_[place.state].complete; }
    bool must_end(const Place &place) const { return may_end(place) && states_[place.state].stacks.size() == 1; }

    // Begins what one token may cost, and forgets what led nowhere when that is
    // much; only `place` and start() then stay valid.
    void begin_token(Place &place);

private:
    using Stacks = std::vector<uint32_t>; // their topmost nodes, in order

    // An element that is to come, and below it what comes after its alternative.
    struct Node {
        uint32_t element;
        uint32_t below;
    };

    struct State {
        Stacks stacks;
        Stacks token_stacks;            // those of them with a token on top
        std::array<uint32_t, 128> next; // by ASCII character
        bool complete = false;
    };

    struct HashStacks {
        std::size_t operator()(const Stacks &stacks) const;
    };

    const GrammarElement &element(uint32_t node) const { return grammar_.elements[nodes_[node].element]; }
    uint32_t node(uint32_t element, uint32_t below);
    uint32_t after(uint32_t node);
    void expand(std::vector<uint32_t> &pending, Stacks &stacks);
    uint32_t state_of(Stacks stacks);
    uint32_t state_after(std::vector<uint32_t> &pending);
    uint32_t step(uint32_t state, uint32_t code);
    uint32_t compute_step(uint32_t state, uint32_t code);
    bool may_follow(uint32_t state, uint32_t first, uint32_t last) const;
    bool matches(uint32_t node, int32_t token) const;
    void spend(std::size_t work);
    void clear();

    Grammar grammar_;
    const int32_t *cancel_;
    std::vector<Node> nodes_;
    std::unordered_map<uint64_t, uint32_t> node_ids_;
    std::vector<State> states_;
    std::unordered_map<Stacks, uint32_t, HashStacks> state_ids_;
    std::unordered_map<uint64_t, uint32_t> steps_; // beyond ASCII
    std::vector<uint32_t> marks_;                  // by node: the expansion that met it last
    uint32_t expansions_ = 0;
    std::size_t stored_ = 0; // numbers in all stacks
    std::size_t work_ = 0;   // for the present token
    std::size_t limit_ = 0;  // of work_
    Place start_;
};

} // namespace gpt4all
