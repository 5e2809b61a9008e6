#include "grammar_matcher.h"

#include "cancel.h"

#include <algorithm>
#include <limits>

namespace gpt4all {
namespace {

// The bottom of every stack: the text is complete.
constexpr uint32_t BOTTOM = 0;
// The state that no text leads to.
constexpr uint32_t LOST = 0;
constexpr uint32_t UNKNOWN = std::numeric_limits<uint32_t>::max();

// What the first expansion may cost, besides going over the grammar a few
// times: some hundredths of a second, for which event loops may have to wait.
constexpr std::size_t MAX_FIRST_WORK = 100'000;
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
constexpr std::size_t MAX_WORK = 20'000;
constexpr std::size_t TIDY_STATES = 8;
constexpr std::size_t MAX_STATES = 1'000;
constexpr std::size_t TIDY_STORED = 200;
constexpr std::size_t MAX_STORED = 20'000;
#else
// What one token may cost, in expanded elements: about a second.
constexpr std::size_t MAX_WORK = 4'000'000;
// What may be remembered before it is tidied up, and what makes a grammar
// hopeless: about a hundred megabytes.
constexpr std::size_t TIDY_STATES = 10'000;
constexpr std::size_t MAX_STATES = 100'000;
constexpr std::size_t TIDY_STORED = 1'000'000;
constexpr std::size_t MAX_STORED = 2'500'000;
#endif

[[noreturn]] void too_ambiguous() {
    invalid_argument("grammar: it is too ambiguous: there are too many ways to read the same text; give alternatives "
                     "that begin alike one common beginning");
}

// Looking at a stack is much cheaper than expanding it.
std::size_t look_at(std::size_t stacks) { return 1 + stacks / 8; }

uint64_t pair_of(uint32_t high, uint32_t low) { return static_cast<uint64_t>(high) << 32 | low; }

} // namespace

std::size_t GrammarMatcher::HashStacks::operator()(const Stacks &stacks) const {
    uint64_t hash = stacks.size();
    for (const uint32_t stack : stacks) hash = (hash ^ stack) * 0x9E3779B97F4A7C15u + (hash >> 29);
    return static_cast<std::size_t>(hash ^ hash >> 32);
}

GrammarMatcher::GrammarMatcher(Grammar grammar, const int32_t *cancel) : grammar_(std::move(grammar)), cancel_(cancel) {
    clear();
    limit_ = std::min(MAX_WORK, MAX_FIRST_WORK + 4 * grammar_.elements.size());
    std::vector<uint32_t> pending;
    const Grammar::Rule &root = grammar_.rules[grammar_.root];
    for (uint32_t a = root.first; a < root.first + root.count; a++) {
        const uint32_t begin = grammar_.alternatives[a];
        pending.push_back(grammar_.elements[begin].kind == GrammarElement::END ? BOTTOM : node(begin, BOTTOM));
    }
    start_.state = state_after(pending);
    limit_ = MAX_WORK;
}

void GrammarMatcher::clear() {
    nodes_.assign(1, {0, 0});
    node_ids_.clear();
    states_.clear();
    state_ids_.clear();
    steps_.clear();
    marks_.assign(1, 0);
    expansions_ = 0;
    stored_ = 0;
    state_of({});
}

void GrammarMatcher::spend(std::size_t work) {
    if (is_set(cancel_)) throw Cancelled();
    work_ += work;
    if (work_ > limit_) too_ambiguous();
}

uint32_t GrammarMatcher::node(uint32_t element, uint32_t below) {
    const auto [found, is_new] = node_ids_.emplace(pair_of(element, below), static_cast<uint32_t>(nodes_.size()));
    if (is_new) {
        if (stored_++ > MAX_STORED) too_ambiguous();
        nodes_.push_back({element, below});
        marks_.push_back(0);
    }
    return found->second;
}

// What comes when a node's element has been read. No node is made for the end
// of an alternative, so a repetition does not make stacks higher.
uint32_t GrammarMatcher::after(uint32_t id) {
    const Node at = nodes_[id];
    if (grammar_.elements[at.element + 1].kind == GrammarElement::END) return at.below;
    return node(at.element + 1, at.below);
}

// Replaces rules by what they begin with, until every stack has a character or a token on top.
void GrammarMatcher::expand(std::vector<uint32_t> &pending, Stacks &stacks) {
    expansions_++;
    while (!pending.empty()) {
        const uint32_t id = pending.back();
        pending.pop_back();
        if (marks_[id] == expansions_) continue;
        marks_[id] = expansions_;
        spend(1);
        if (id == BOTTOM || element(id).kind != GrammarElement::RULE) {
            stacks.push_back(id);
            continue;
        }
        const Grammar::Rule rule = grammar_.rules[element(id).value];
        const uint32_t rest = after(id);
        for (uint32_t a = rule.first; a < rule.first + rule.count; a++) {
            const uint32_t begin = grammar_.alternatives[a];
            pending.push_back(grammar_.elements[begin].kind == GrammarElement::END ? rest : node(begin, rest));
        }
    }
    std::sort(stacks.begin(), stacks.end());
}

uint32_t GrammarMatcher::state_of(Stacks stacks) {
    const auto found = state_ids_.find(stacks);
    if (found != state_ids_.end()) return found->second;
    State state;
    state.next.fill(UNKNOWN);
    state.complete = !stacks.empty() && stacks.front() == BOTTOM;
    for (const uint32_t id : stacks) {
        if (id != BOTTOM && element(id).kind != GrammarElement::CHARACTER) state.token_stacks.push_back(id);
    }
    stored_ += 2 * stacks.size() + state.token_stacks.size();
    if (states_.size() >= MAX_STATES || stored_ > MAX_STORED) too_ambiguous();
    state.stacks = stacks;
    const auto id = static_cast<uint32_t>(states_.size());
    states_.push_back(std::move(state));
    state_ids_.emplace(std::move(stacks), id);
    return id;
}

uint32_t GrammarMatcher::state_after(std::vector<uint32_t> &pending) {
    Stacks stacks;
    expand(pending, stacks);
    return state_of(std::move(stacks));
}

uint32_t GrammarMatcher::step(uint32_t state, uint32_t code) {
    if (code < 128) {
        uint32_t next = states_[state].next[code];
        if (next == UNKNOWN) {
            next = compute_step(state, code);
            states_[state].next[code] = next;
        }
        return next;
    }
    const auto found = steps_.find(pair_of(state, code));
    if (found != steps_.end()) return found->second;
    const uint32_t next = compute_step(state, code);
    if (stored_++ > MAX_STORED) too_ambiguous();
    steps_.emplace(pair_of(state, code), next);
    return next;
}

uint32_t GrammarMatcher::compute_step(uint32_t state, uint32_t code) {
    std::vector<uint32_t> pending;
    const std::size_t n = states_[state].stacks.size();
    spend(look_at(n));
    for (std::size_t i = 0; i < n; i++) {
        const uint32_t id = states_[state].stacks[i];
        if (id == BOTTOM || element(id).kind != GrammarElement::CHARACTER) continue;
        if (grammar_.classes[element(id).value].contains(code)) pending.push_back(after(id));
    }
    return state_after(pending);
}

bool GrammarMatcher::may_follow(uint32_t state, uint32_t first, uint32_t last) const {
    const Stacks &stacks = states_[state].stacks;
    return std::any_of(stacks.begin(), stacks.end(), [&](uint32_t id) {
        return id != BOTTOM && element(id).kind == GrammarElement::CHARACTER &&
               grammar_.classes[element(id).value].overlaps(first, last);
    });
}

bool GrammarMatcher::feed(Place &place, unsigned char byte) {
    if (place.missing == 0) {
        if (byte < 0x80) {
            place.state = step(place.state, byte);
            return place.state != LOST;
        }
        place.missing = byte < 0xC2 ? 0 : byte < 0xE0 ? 1 : byte < 0xF0 ? 2 : byte < 0xF5 ? 3 : 0;
        place.code = byte & (0x3Fu >> place.missing);
        place.least = place.missing == 1 ? 0x80 : place.missing == 2 ? 0x800 : 0x10000;
        if (place.missing == 0) place.state = LOST;
    } else if ((byte & 0xC0) == 0x80) {
        place.code = place.code << 6 | (byte & 0x3Fu);
        place.missing--;
        if (place.missing == 0) {
            place.state = place.code < place.least ? LOST : step(place.state, place.code);
            return place.state != LOST;
        }
    } else {
        place.state = LOST;
    }
    if (place.state == LOST) {
        place.missing = 0;
        return false;
    }
    // Only characters that begin so are still possible, and none where the
    // encoding turns out to be longer than need be.
    const uint32_t first = std::max(place.code << 6 * place.missing, place.least);
    const uint32_t last = place.code << 6 * place.missing | ((1u << 6 * place.missing) - 1);
    spend(look_at(states_[place.state].stacks.size()));
    if (first > last || !may_follow(place.state, first, last)) {
        place.state = LOST;
        place.missing = 0;
    }
    return place.state != LOST;
}

bool GrammarMatcher::feed(Place &place, std::string_view text) {
    return std::all_of(text.begin(), text.end(),
                       [&](char byte) { return feed(place, static_cast<unsigned char>(byte)); });
}

bool GrammarMatcher::matches(uint32_t id, int32_t token) const {
    const bool same = element(id).value == static_cast<uint32_t>(token);
    return same == (element(id).kind == GrammarElement::TOKEN);
}

bool GrammarMatcher::feed_token(Place &place, int32_t token, std::string_view text) {
    const Place before = place;
    // A token without text would go on for ever.
    if (text.empty() || !feed(place, text)) place = Place();
    if (!names_tokens(before)) return place.state != LOST;
    const std::size_t n = states_[before.state].token_stacks.size();
    spend(look_at(n));
    std::vector<uint32_t> pending;
    for (std::size_t i = 0; i < n; i++) {
        const uint32_t id = states_[before.state].token_stacks[i];
        if (matches(id, token)) pending.push_back(after(id));
    }
    if (pending.empty()) return place.state != LOST;
    // Both readings go on, but the token's is whole characters.
    if (place.missing == 0)
        pending.insert(pending.end(), states_[place.state].stacks.begin(), states_[place.state].stacks.end());
    place = Place();
    place.state = state_after(pending);
    return true;
}

void GrammarMatcher::begin_token(Place &place) {
    work_ = 0;
    if (states_.size() < TIDY_STATES && stored_ < TIDY_STORED) return;
    Stacks kept = states_[place.state].stacks;
    Stacks kept_start = states_[start_.state].stacks;
    const std::vector<Node> old = std::move(nodes_);
    std::vector<uint32_t> renamed(old.size(), UNKNOWN);
    for (const Stacks *stacks : {&kept, &kept_start}) {
        for (const uint32_t id : *stacks) renamed[id] = 0;
    }
    // What a node rests on is older than the node, so one pass down marks all that is in use.
    for (std::size_t id = old.size() - 1; id > BOTTOM; id--) {
        if (renamed[id] != UNKNOWN) renamed[old[id].below] = 0;
    }
    clear();
    renamed[BOTTOM] = BOTTOM;
    for (std::size_t id = BOTTOM + 1; id < old.size(); id++) {
        if (renamed[id] != UNKNOWN) renamed[id] = node(old[id].element, renamed[old[id].below]);
    }
    for (Stacks *stacks : {&kept, &kept_start}) {
        for (uint32_t &id : *stacks) id = renamed[id];
    }
    place.state = state_of(std::move(kept));
    start_.state = state_of(std::move(kept_start));
}

} // namespace gpt4all
