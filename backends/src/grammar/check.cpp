#include "grammar/grammar.h"

#include <algorithm>
#include <limits>
#include <numeric>

namespace gpt4all {
namespace {

std::string describe(const Grammar &grammar, uint32_t rule) {
    const std::string &name = grammar.names[rule];
    return name.empty() ? "a group or repetition" : "rule '" + name + "'";
}

// The rules that give a text of finitely many characters, or, without
// characters, the empty one: those with an alternative that needs no other.
std::vector<bool> finite_rules(const Grammar &grammar, bool with_characters) {
    struct Alternative {
        uint32_t rule;
        std::size_t missing; // rules in it that are not known to be finite
    };
    std::vector<Alternative> alternatives;
    std::vector<std::vector<uint32_t>> users(grammar.rules.size());
    std::vector<bool> finite(grammar.rules.size(), false);
    std::vector<uint32_t> found;
    for (uint32_t rule = 0; rule < grammar.rules.size(); rule++) {
        const Grammar::Rule &r = grammar.rules[rule];
        for (uint32_t a = r.first; a < r.first + r.count; a++) {
            const auto index = static_cast<uint32_t>(alternatives.size());
            std::size_t missing = 0;
            for (const GrammarElement *e = &grammar.elements[grammar.alternatives[a]]; e->kind != GrammarElement::END;
                 e++) {
                if (e->kind == GrammarElement::RULE) users[e->value].push_back(index);
                if (e->kind == GrammarElement::RULE || !with_characters) missing++;
            }
            alternatives.push_back({rule, missing});
            if (missing == 0 && !finite[rule]) {
                finite[rule] = true;
                found.push_back(rule);
            }
        }
    }
    while (!found.empty()) {
        const uint32_t rule = found.back();
        found.pop_back();
        for (const uint32_t index : users[rule]) {
            Alternative &alternative = alternatives[index];
            if (--alternative.missing > 0 || finite[alternative.rule]) continue;
            finite[alternative.rule] = true;
            found.push_back(alternative.rule);
        }
    }
    return finite;
}

// A rule that another may begin with. Where more follows it, expanding it
// makes what is still to come longer.
struct Beginning {
    uint32_t rule;
    bool grows;
};

std::vector<std::vector<Beginning>> beginnings(const Grammar &grammar) {
    std::vector<std::vector<Beginning>> result(grammar.rules.size());
    for (uint32_t rule = 0; rule < grammar.rules.size(); rule++) {
        const Grammar::Rule &r = grammar.rules[rule];
        for (uint32_t a = r.first; a < r.first + r.count; a++) {
            for (const GrammarElement *e = &grammar.elements[grammar.alternatives[a]]; e->kind == GrammarElement::RULE;
                 e++) {
                result[rule].push_back({e->value, e[1].kind != GrammarElement::END});
                if (!grammar.rules[e->value].may_be_empty) break;
            }
        }
    }
    return result;
}

// Tarjan's strongly connected components, with a stack of our own: rules may
// be nested more deeply than calls. What a component leads to has a lower number.
std::vector<uint32_t> components(const std::vector<std::vector<Beginning>> &edges) {
    constexpr uint32_t NEW = std::numeric_limits<uint32_t>::max();
    const std::size_t n = edges.size();
    std::vector<uint32_t> order(n, NEW), low(n, 0), component(n, NEW), open;
    std::vector<std::pair<uint32_t, std::size_t>> calls; // a rule, and its next edge
    uint32_t n_ordered = 0;
    uint32_t n_components = 0;
    for (uint32_t start = 0; start < n; start++) {
        if (order[start] == NEW) calls.emplace_back(start, 0);
        while (!calls.empty()) {
            const uint32_t rule = calls.back().first;
            if (order[rule] == NEW) {
                order[rule] = low[rule] = n_ordered++;
                open.push_back(rule);
            }
            if (calls.back().second < edges[rule].size()) {
                const uint32_t next = edges[rule][calls.back().second++].rule;
                if (order[next] == NEW) {
                    calls.emplace_back(next, 0);
                } else if (component[next] == NEW) {
                    low[rule] = std::min(low[rule], order[next]);
                }
                continue;
            }
            calls.pop_back();
            if (!calls.empty()) low[calls.back().first] = std::min(low[calls.back().first], low[rule]);
            if (low[rule] != order[rule]) continue;
            uint32_t member = NEW;
            do {
                member = open.back();
                open.pop_back();
                component[member] = n_components;
            } while (member != rule);
            n_components++;
        }
    }
    return component;
}

// Component by component, so that who expands alternatives in order has met all
// that may begin with a rule before the rule itself.
void order_alternatives(Grammar &grammar, const std::vector<uint32_t> &component) {
    std::vector<uint32_t> rules(grammar.rules.size());
    std::iota(rules.begin(), rules.end(), 0);
    std::stable_sort(rules.begin(), rules.end(), [&](uint32_t a, uint32_t b) { return component[a] > component[b]; });
    std::vector<uint32_t> ordered;
    ordered.reserve(grammar.alternatives.size());
    for (std::size_t begin = 0, end = 0; begin < rules.size(); begin = end) {
        const auto first = static_cast<uint32_t>(ordered.size());
        for (; end < rules.size() && component[rules[end]] == component[rules[begin]]; end++) {
            const auto alternatives = grammar.alternatives.begin() + grammar.rules[rules[end]].first;
            ordered.insert(ordered.end(), alternatives, alternatives + grammar.rules[rules[end]].count);
        }
        for (std::size_t i = begin; i < end; i++) {
            grammar.rules[rules[i]].first = first;
            grammar.rules[rules[i]].count = static_cast<uint32_t>(ordered.size()) - first;
        }
    }
    grammar.alternatives = std::move(ordered);
}

} // namespace

void check_grammar(Grammar &grammar) {
    const std::vector<bool> may_be_empty = finite_rules(grammar, false);
    for (uint32_t rule = 0; rule < may_be_empty.size(); rule++) grammar.rules[rule].may_be_empty = may_be_empty[rule];
    const std::vector<std::vector<Beginning>> edges = beginnings(grammar);
    const std::vector<uint32_t> component = components(edges);
    for (uint32_t rule = 0; rule < edges.size(); rule++) {
        for (const Beginning &beginning : edges[rule]) {
            if (beginning.grows && component[beginning.rule] == component[rule]) {
                invalid_argument("grammar: " + describe(grammar, rule) +
                                 " is left-recursive: it may begin with itself, and so could be expanded for ever");
            }
        }
    }
    const std::vector<bool> finite = finite_rules(grammar, true);
    for (uint32_t rule = 0; rule < finite.size(); rule++) {
        if (!finite[rule]) {
            invalid_argument("grammar: " + describe(grammar, rule) + " never ends: each of its alternatives needs " +
                             "a rule that needs it again");
        }
    }
    order_alternatives(grammar, component);
}

} // namespace gpt4all
