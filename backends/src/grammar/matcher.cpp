#include "grammar/matcher.h"

#include "base/cancel.h"
#include "base/utf8.h"

#include <algorithm>
#include <utility>

namespace gpt4all {
namespace {

// The bottom of every stack: the text is complete.
constexpr uint32_t BOTTOM = 0;
// The list of nothing else.
constexpr uint32_t ONLY_BOTTOM = 0;

// Runs of fewer characters cost little to go over.
constexpr std::size_t LARGE_CLASS = 16;

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
    invalid_argument("grammar: it is too ambiguous, or too much of what may follow depends on all that came before; "
                     "give alternatives that begin alike one common beginning, and let fewer things match each other");
}

// Looking at a stack is much cheaper than expanding it.
std::size_t look_at(std::size_t stacks) { return 1 + stacks / 8; }

uint64_t pair_of(uint32_t high, uint32_t low) { return static_cast<uint64_t>(high) << 32 | low; }

void make_set(std::vector<uint32_t> &list) {
    std::sort(list.begin(), list.end());
    list.erase(std::unique(list.begin(), list.end()), list.end());
}

std::vector<uint32_t> borders_beyond_ascii(const std::vector<CharacterClass> &classes) {
    std::vector<uint32_t> borders;
    for (const CharacterClass &set : classes) {
        for (const CodeRange &range : set.ranges()) {
            if (range.first > 128) borders.push_back(range.first);
            if (range.last >= 128) borders.push_back(range.last + 1);
        }
    }
    make_set(borders);
    return borders;
}

} // namespace

std::size_t GrammarMatcher::HashList::operator()(const List &list) const {
    uint64_t hash = list.size();
    for (const uint32_t id : list) hash = (hash ^ id) * 0x9E3779B97F4A7C15u + (hash >> 29);
    return static_cast<std::size_t>(hash ^ hash >> 32);
}

GrammarMatcher::GrammarMatcher(Grammar grammar, const int32_t *cancel)
    : grammar_(std::move(grammar)), cancel_(cancel), borders_(borders_beyond_ascii(grammar_.classes)) {
    clear();
    limit_ = std::min(MAX_WORK, MAX_FIRST_WORK + 4 * grammar_.elements.size());
    const Grammar::Rule &root = grammar_.rules[grammar_.root];
    if (root.may_be_empty) tops_.push_back(BOTTOM);
    calls_[root.first] = {root, {BOTTOM}};
    start_.state = expand();
    limit_ = MAX_WORK;
}

void GrammarMatcher::clear() {
    nodes_.assign(1, {0, 0});
    node_ids_.clear();
    lists_.clear();
    list_ids_.clear();
    states_.clear();
    state_ids_.clear();
    steps_.clear();
    marks_.clear();
    expansions_ = 1;
    stored_ = 0;
    list_of({BOTTOM});
    state_of({});
}

void GrammarMatcher::spend(std::size_t work) {
    if (is_set(cancel_)) throw Cancelled();
    work_ += work;
    if (budget_ != NO_BUDGET) budget_ -= std::min(budget_, work);
    if (work_ + looked_ > limit_) too_ambiguous();
}

void GrammarMatcher::spend_looking(std::size_t work) {
    looked_ += work;
    spend(0);
}

uint32_t GrammarMatcher::node(uint32_t element, uint32_t below) {
    const auto [found, is_new] = node_ids_.emplace(pair_of(element, below), static_cast<uint32_t>(nodes_.size()));
    if (is_new) {
        if (stored_++ > MAX_STORED) too_ambiguous();
        nodes_.push_back({element, below});
    }
    return found->second;
}

uint32_t GrammarMatcher::list_of(List list) {
    make_set(list);
    const auto [found, is_new] = list_ids_.emplace(list, static_cast<uint32_t>(lists_.size()));
    if (is_new) {
        stored_ += 2 * list.size();
        if (stored_ > MAX_STORED) too_ambiguous();
        lists_.push_back(std::move(list));
        marks_.push_back(0);
    }
    return found->second;
}

// Notes what the rule at an element is called for. Where nothing follows it, it
// returns to where its caller does, so a repetition does not make stacks higher.
void GrammarMatcher::call(uint32_t element, uint32_t below) {
    const Grammar::Rule &rule = grammar_.rules[grammar_.elements[element].value];
    const bool last = grammar_.elements[element + 1].kind == GrammarElement::END;
    // A rule that begins with itself and nothing more adds nothing.
    if (last && rule.first == expanding_) return;
    Call &call = calls_[rule.first];
    call.rule = rule;
    if (!last) {
        call.returns.push_back(node(element + 1, below));
    } else if (call.returns_of != below) {
        spend(lists_[below].size());
        call.returns.insert(call.returns.end(), lists_[below].begin(), lists_[below].end());
        call.returns_of = below;
    }
}

// Adds what may be read next, from an element on. Whether that may be what
// comes after its rule.
bool GrammarMatcher::predict(uint32_t element, uint32_t below) {
    for (;; element++) {
        spend(1);
        const GrammarElement &next = grammar_.elements[element];
        if (next.kind == GrammarElement::END) return true;
        if (next.kind != GrammarElement::RULE) {
            tops_.push_back(node(element, below));
            return false;
        }
        call(element, below);
        if (!grammar_.rules[next.value].may_be_empty) return false;
    }
}

// The same for an element whose predecessor was read.
void GrammarMatcher::follow(uint32_t element, uint32_t below) {
    pending_.push_back({element, below});
    while (!pending_.empty()) {
        const Node next = pending_.back();
        pending_.pop_back();
        if (!predict(next.element, next.below) || marks_[next.below] == expansions_) continue;
        marks_[next.below] = expansions_;
        for (const uint32_t id : lists_[next.below]) {
            if (id == BOTTOM) {
                tops_.push_back(BOTTOM);
            } else {
                pending_.push_back(nodes_[id]);
            }
        }
    }
}

// Expands all rules that were called, after which every stack has a character
// or a token on top. In their order each is met once, with all its callers. One
// that may be empty is left to its callers, who went on without it.
uint32_t GrammarMatcher::expand() {
    while (!calls_.empty()) expand_next();
    return end_expansion();
}

void GrammarMatcher::expand_next() {
    const auto first = calls_.begin();
    const Grammar::Rule rule = first->second.rule;
    const uint32_t below = list_of(std::move(first->second.returns));
    calls_.erase(first);
    expanding_ = rule.first;
    for (uint32_t a = rule.first; a < rule.first + rule.count; a++) predict(grammar_.alternatives[a], below);
}

uint32_t GrammarMatcher::end_expansion() {
    expanding_ = UNKNOWN;
    expansions_++;
    make_set(tops_);
    const uint32_t state = state_of(tops_);
    tops_.clear();
    return state;
}

uint32_t GrammarMatcher::state_of(const List &stacks) {
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
    state_ids_.emplace(stacks, id);
    return id;
}

// The codes around one beyond ASCII that are in the same classes.
CodeRange GrammarMatcher::alike(uint32_t code) const {
    const auto next = std::upper_bound(borders_.begin(), borders_.end(), code);
    return {next == borders_.begin() ? 128 : next[-1], next == borders_.end() ? LAST_CODE : *next - 1};
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
    const CodeRange known = states_[state].beyond;
    if (code >= known.first && code <= known.last) return states_[state].next_beyond;
    const CodeRange range = alike(code);
    auto found = steps_.find(pair_of(state, range.first));
    if (found == steps_.end()) {
        const uint32_t next = compute_step(state, code);
        if (stored_++ > MAX_STORED) too_ambiguous();
        found = steps_.emplace(pair_of(state, range.first), next).first;
    }
    states_[state].beyond = range;
    states_[state].next_beyond = found->second;
    return found->second;
}

uint32_t GrammarMatcher::compute_step(uint32_t state, uint32_t code) {
    const uint64_t this_step = pair_of(state, code);
    if (paused_step_ != this_step) {
        pause_when_spent(NO_STEP);
        spend(look_at(states_[state].stacks.size()));
        for (const uint32_t id : states_[state].stacks) {
            if (is_character(id) && characters(id).contains(code)) follow(nodes_[id].element + 1, nodes_[id].below);
        }
    }
    paused_step_ = NO_STEP;
    while (!calls_.empty()) {
        pause_when_spent(this_step);
        expand_next();
        got_further_ = true;
    }
    got_further_ = true;
    return end_expansion();
}

void GrammarMatcher::pause_when_spent(uint64_t step) {
    if (budget_ > 0 || !got_further_) return;
    paused_ = true;
    paused_step_ = step;
    throw GrammarPaused();
}

bool GrammarMatcher::may_follow(uint32_t state, uint32_t first, uint32_t last) {
    const State &at = states_[state];
    if (first >= at.beyond.first && last <= at.beyond.last) return at.next_beyond != LOST;
    spend_looking(look_at(at.stacks.size()));
    return std::any_of(at.stacks.begin(), at.stacks.end(),
                       [&](uint32_t id) { return is_character(id) && characters(id).overlaps(first, last); });
}

GrammarMatcher::Place GrammarMatcher::after(Place place, unsigned char byte) {
    constexpr uint32_t CODE = 0xFFFFFF;
    uint32_t code = place.begun & CODE;
    uint32_t missing = place.begun >> 24 & 3;
    uint32_t more = place.begun >> 26;
    if (missing == 0) {
        if (byte < 0x80) return {step(place.state, byte)};
        if (continuation_bytes(byte) < 0) return {};
        more = missing = static_cast<uint32_t>(continuation_bytes(byte));
        code = byte & (0x3Fu >> more);
    } else {
        if (!is_continuation(byte)) return {};
        code = code << 6 | (byte & 0x3Fu);
        missing--;
    }
    // Only characters that begin so are still possible, and none where the
    // encoding turns out to be longer than need be.
    const uint32_t least = more == 1 ? 0x80 : more == 2 ? 0x800 : 0x10000;
    const uint32_t first = std::max(code << 6 * missing, least);
    const uint32_t last = code << 6 * missing | ((1u << 6 * missing) - 1);
    if (first > last) return {};
    if (missing == 0) return {step(place.state, code)};
    return may_follow(place.state, first, last) ? Place{place.state, more << 26 | missing << 24 | code} : Place();
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
    if (before.begun != 0 || states_[before.state].token_stacks.empty()) return place.state != LOST;
    spend_looking(look_at(states_[before.state].token_stacks.size()));
    bool named = false;
    for (const uint32_t id : states_[before.state].token_stacks) {
        if (!matches(id, token)) continue;
        follow(nodes_[id].element + 1, nodes_[id].below);
        named = true;
    }
    if (!named) return place.state != LOST;
    // Both readings go on, but the token's is whole characters.
    if (place.begun == 0)
        tops_.insert(tops_.end(), states_[place.state].stacks.begin(), states_[place.state].stacks.end());
    place = Place();
    place.state = expand();
    return true;
}

std::vector<GrammarElement> GrammarMatcher::named_tokens(const Place &place) const {
    std::vector<GrammarElement> named;
    if (place.begun != 0) return named;
    for (const uint32_t id : states_[place.state].token_stacks) named.push_back(element(id));
    return named;
}

std::optional<GrammarMatcher::Run> GrammarMatcher::run(const Place &place, std::size_t most) {
    if (place.begun != 0) return std::nullopt;
    const CharacterClass *largest = nullptr;
    for (const uint32_t id : states_[place.state].stacks) {
        if (is_character(id) && (largest == nullptr || characters(id).size() > largest->size()))
            largest = &characters(id);
    }
    if (largest == nullptr) return std::nullopt;
    Run run = {*largest, 0};
    for (uint32_t state = place.state; run.length < most; run.length++) {
        run.characters = alike_in(state, std::move(run.characters));
        if (run.characters.size() < LARGE_CLASS) return std::nullopt;
        const uint32_t next = step(state, run.characters.ranges().front().first);
        if (next == LOST) break;
        if (next == state) run.length = most - 1;
        state = next;
    }
    return run;
}

// Those of some characters that all lead from a state to the same one.
CharacterClass GrammarMatcher::alike_in(uint32_t state, CharacterClass some) {
    spend_looking(look_at(states_[state].stacks.size()));
    for (const uint32_t id : states_[state].stacks) {
        if (!is_character(id) || characters(id).covers(some)) continue;
        CharacterClass common = characters(id).common(some);
        if (!common.empty()) some = std::move(common);
    }
    return some;
}

// Copies what two states rest on.
bool GrammarMatcher::begin_token(Place &place) {
    looked_ = 0;
    if (std::exchange(paused_, false)) return false;
    work_ = 0;
    if (states_.size() < TIDY_STATES && stored_ < TIDY_STORED) return false;
    List kept = states_[place.state].stacks;
    List kept_start = states_[start_.state].stacks;
    const std::vector<Node> nodes = std::move(nodes_);
    const std::vector<List> lists = std::move(lists_);
    std::vector<bool> used(lists.size(), false);
    const auto use = [&](const List &list) {
        for (const uint32_t id : list) used[nodes[id].below] = true;
    };
    use(kept);
    use(kept_start);
    // A list is younger than those that its nodes rest on.
    for (std::size_t list = lists.size(); list-- > 0;) {
        if (used[list]) use(lists[list]);
    }
    clear();
    std::vector<uint32_t> renamed(lists.size(), ONLY_BOTTOM);
    const auto rename = [&](List list) {
        for (uint32_t &id : list) id = id == BOTTOM ? BOTTOM : node(nodes[id].element, renamed[nodes[id].below]);
        make_set(list);
        return list;
    };
    for (std::size_t list = 0; list < lists.size(); list++) {
        if (used[list]) renamed[list] = list_of(rename(lists[list]));
    }
    place.state = state_of(rename(std::move(kept)));
    start_.state = state_of(rename(std::move(kept_start)));
    return true;
}

} // namespace gpt4all
