// Follows a text through a grammar, byte by byte.
//
// A state is the set of all ways to read the text so far, each a stack of the
// grammar's elements that are still to come. Stacks are not kept one by one: an
// element rests on the list of all that may come after its rule, which is one
// list however many ways led there. So what is kept grows with the grammar and
// the text, never with the number of ways, and no grammar takes exponential
// time. States and the steps between them are remembered, so that going over a
// vocabulary costs a look-up for most bytes. What is left to do for one token
// is counted, and throws Cancelled once the caller's flag is set. It can be done
// bit by bit, with other work between.
#pragma once

#include "grammar/grammar.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace gpt4all {

// Thrown where the budget is used up. What was found out is remembered: whoever asks the same again goes on from there.
struct GrammarPaused {};

class GrammarMatcher {
public:
    static constexpr std::size_t NO_BUDGET = SIZE_MAX;

    // A state, and the beginning of a character that is not complete: its bits,
    // how many bytes follow its first one and how many are missing, or 0. Packed,
    // as going over a vocabulary copies millions.
    struct Place {
        uint32_t state = 0;
        uint32_t begun = 0;
    };

    // Characters that all lead the same way: so many of them go on, whichever, and no more.
    struct Run {
        CharacterClass characters;
        std::size_t length;
    };

    // The flag may be null, and else outlives this.
    explicit GrammarMatcher(Grammar grammar, const int32_t *cancel = nullptr);

    Place start() const { return start_; }

    // False, with the place lost, when no text of the grammar goes on so.
    bool feed(Place &place, unsigned char byte) {
        // Almost all are ASCII, and met before.
        const uint32_t next = byte < 0x80 && place.begun == 0 ? states_[place.state].next[byte] : UNKNOWN;
        place = next != UNKNOWN ? Place{next} : after(place, byte);
        return place.state != LOST;
    }
    bool feed(Place &place, std::string_view text);

    // The same for a token, which the grammar may also name by its id.
    bool feed_token(Place &place, int32_t token, std::string_view text);

    // What the grammar says of tokens by their ids here, any of which may hold.
    std::vector<GrammarElement> named_tokens(const Place &place) const;

    // That of a large class, if there is one; one that is longer than `most` is given as that.
    std::optional<Run> run(const Place &place, std::size_t most);

    // Whether the text may end here, and whether it must.
    bool may_end(const Place &place) const { return place.begun == 0 && states_[place.state].complete; }
    bool must_end(const Place &place) const { return may_end(place) && states_[place.state].stacks.size() == 1; }

    // What may be expanded, in elements, until GrammarPaused is thrown.
    void set_budget(std::size_t budget) {
        budget_ = budget;
        got_further_ = false;
    }

    // Begins what one token may cost, and forgets what led nowhere when that is
    // much. True then: only `place` and start() stay valid. Goes on with the same
    // token after a pause.
    bool begin_token(Place &place);

private:
    // The state that no text leads to.
    static constexpr uint32_t LOST = 0;
    static constexpr uint32_t UNKNOWN = UINT32_MAX;
    static constexpr uint64_t NO_STEP = UINT64_MAX;

    using List = std::vector<uint32_t>; // of nodes, in order

    // An element that is to come, and the list of what may come after its rule.
    struct Node {
        uint32_t element;
        uint32_t below;
    };

    struct State {
        List stacks;                    // their topmost nodes
        List token_stacks;              // those of them with a token on top
        std::array<uint32_t, 128> next; // by ASCII character
        bool complete = false;
        // The last step beyond ASCII: neighbours mostly lead to the same state.
        CodeRange beyond = {1, 0};
        uint32_t next_beyond = UNKNOWN;
    };

    // A rule that is to be expanded.
    struct Call {
        Grammar::Rule rule;
        List returns;                  // what may come after it
        uint32_t returns_of = UNKNOWN; // list that was added last
    };

    struct HashList {
        std::size_t operator()(const List &list) const;
    };

    Place after(Place place, unsigned char byte);
    const GrammarElement &element(uint32_t node) const { return grammar_.elements[nodes_[node].element]; }
    bool is_character(uint32_t node) const { return node != 0 && element(node).kind == GrammarElement::CHARACTER; }
    const CharacterClass &characters(uint32_t node) const { return grammar_.classes[element(node).value]; }
    uint32_t node(uint32_t element, uint32_t below);
    uint32_t list_of(List list);
    void follow(uint32_t element, uint32_t below);
    bool predict(uint32_t element, uint32_t below);
    void call(uint32_t element, uint32_t below);
    void expand_next();
    uint32_t expand();
    uint32_t end_expansion();
    uint32_t state_of(const List &stacks);
    CodeRange alike(uint32_t code) const;
    uint32_t step(uint32_t state, uint32_t code);
    uint32_t compute_step(uint32_t state, uint32_t code);
    bool may_follow(uint32_t state, uint32_t first, uint32_t last);
    CharacterClass alike_in(uint32_t state, CharacterClass characters);
    bool matches(uint32_t node, int32_t token) const;
    void spend(std::size_t work);
    void spend_looking(std::size_t work);
    void pause_when_spent(uint64_t step);
    void clear();

    Grammar grammar_;
    const int32_t *cancel_;
    std::vector<uint32_t> borders_; // codes beyond ASCII at which a class begins or ends
    std::vector<Node> nodes_;
    std::unordered_map<uint64_t, uint32_t> node_ids_;
    std::vector<List> lists_;
    std::unordered_map<List, uint32_t, HashList> list_ids_;
    std::vector<State> states_;
    std::unordered_map<List, uint32_t, HashList> state_ids_;
    std::unordered_map<uint64_t, uint32_t> steps_; // beyond ASCII, by the first code of those alike
    // The expansion that is under way.
    std::map<uint32_t, Call> calls_; // by the first alternative, whose order is that of expansion
    List tops_;
    std::vector<Node> pending_;
    uint32_t expanding_ = UNKNOWN; // first alternative of the rule
    std::vector<uint32_t> marks_;  // by list: the expansion that met it last
    uint32_t expansions_ = 0;
    std::size_t stored_ = 0; // numbers in all lists
    std::size_t work_ = 0;   // for the present token
    std::size_t looked_ = 0; // the same, of what is done again after a pause
    std::size_t limit_ = 0;  // of both
    std::size_t budget_ = NO_BUDGET;
    bool got_further_ = false; // with that budget
    bool paused_ = false;
    uint64_t paused_step_ = NO_STEP; // whose expansion is under way, if one is
    Place start_;
};

} // namespace gpt4all
