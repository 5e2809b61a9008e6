#include "template_operation.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>

namespace gpt4all {
namespace {

using jinja::cast_val;
using jinja::is_val;
using jinja::mk_val;
using jinja::value;
using Names = std::initializer_list<const char *>;

// As in the sandbox that Python programs run chat templates in.
constexpr std::size_t MAX_RANGE = 100000;
constexpr std::size_t MAX_PIECES = 1000000;
constexpr int64_t MAX_INDENT = 1000;
// std::sort leaves its range when the order makes no sense, but not below this.
constexpr std::size_t SAFE_TO_SORT = 16;
// Bytes moved or compared in a microsecond.
constexpr std::size_t MOVED_PER_UNIT = 4096;
constexpr std::size_t COMPARED_PER_UNIT = 65536;

bool is_string(const value &v) { return is_val<jinja::value_string>(v); }
bool is_array(const value &v) { return is_val<jinja::value_array>(v); }
bool is_integer(const value &v) { return is_val<jinja::value_int>(v); }

bool is_one_of(const std::string &name, Names names) {
    return std::any_of(names.begin(), names.end(), [&](const char *other) { return name == other; });
}

// Functions that change a text part by part, each of which stays what it was.
bool keeps_parts(const std::string &name) {
    return is_one_of(name,
                     {"upper", "lower", "title", "capitalize", "strip", "lstrip", "rstrip", "trim", "safe", "string"});
}

// Functions that give values they were given, or containers of them, or no text.
bool passes_on(const std::string &name) {
    return is_one_of(name, {"append",   "count",      "d",          "default",   "dict",
                            "dictsort", "first",      "float",      "get",       "int",
                            "items",    "keys",       "last",       "length",    "list",
                            "map",      "max",        "min",        "namespace", "pop",
                            "range",    "reject",     "rejectattr", "reverse",   "raise_exception",
                            "select",   "selectattr", "sort",       "values"});
}

std::size_t count_of(const std::string &text, const std::string &wanted) {
    if (wanted.empty()) return text.size() + 1;
    std::size_t n = 0;
    for (std::size_t at = text.find(wanted); at != std::string::npos; at = text.find(wanted, at + wanted.size())) n++;
    return n;
}

// Bytes `begin` to `end` of a text, each from where it was from.
jinja::string cut(const jinja::string &text, std::size_t begin, std::size_t end) {
    jinja::string piece;
    std::size_t offset = 0;
    for (const jinja::string_part &part : text.parts) {
        const std::size_t from = std::max(begin, offset);
        const std::size_t to = std::min(end, offset + part.val.size());
        if (from < to) piece.parts.push_back({part.is_input, part.val.substr(from - offset, to - from)});
        offset += part.val.size();
    }
    return piece;
}

} // namespace

Operation::Operation(TemplateScope &scope, OperationKind kind, std::string name, std::size_t n_operands)
    : scope_(scope), kind_(kind), name_(std::move(name)), n_operands_(n_operands), outer_(scope.operation) {
    scope_.operation = this;
}

Operation::~Operation() { scope_.operation = outer_; }

void Operation::add_operand(const value &operand) {
    operands_.push_back(operand);
    if (operands_.size() == n_operands_) judge();
}

void Operation::set_function(const jinja::value_func_t &function) {
    if (function.arg0) operands_.insert(operands_.begin(), function.arg0);
    // A macro's own operations are judged one by one.
    if (function.arg0 == nullptr && jinja::global_builtins().count(function.name) == 0) return;
    name_ = function.name;
    judge();
}

void Operation::judge() {
    for (const value &operand : operands_) {
        if (is_string(operand)) scope_.check_string(operand);
    }
    if (kind_ == OperationKind::BINARY) judge_binary();
    if (kind_ == OperationKind::CALL || kind_ == OperationKind::FILTER) judge_function();
    if (kind_ == OperationKind::TEST && is("divisibleby") && operands_.size() == 2 && is_integer(operands_[1])) {
        const int64_t divisor = operands_[1]->as_int();
        if (divisor == 0) throw TemplateLimit{"it divides by zero"};
        if (divisor == -1) throw TemplateLimit{"it divides by -1"};
    }
}

void Operation::judge_binary() {
    const value &left = operands_[0], &right = operands_[1];
    if (is("*")) {
        const bool repeats_left = is_string(left) && is_integer(right);
        if (!repeats_left && !(is_integer(left) && is_string(right))) return;
        const jinja::string &text = (repeats_left ? left : right)->val_str;
        const int64_t n = (repeats_left ? right : left)->as_int();
        if (n <= 0) return;
        scope_.spend_product(static_cast<std::size_t>(n), text.parts.size() + 1, 8);
        if (text.length() > scope_.max_bytes() / static_cast<std::size_t>(n)) scope_.check_size(SIZE_MAX);
    } else if ((is("in") || is("not in")) && is_string(left) && is_string(right)) {
        scope_.spend_product(left->val_str.length(), right->val_str.length(), COMPARED_PER_UNIT);
    } else if (is("+") || is("~")) {
        if (is_array(left) && is_array(right)) {
            scope_.spend((container_size(left) + container_size(right)) / 16);
            if (container_size(left) + container_size(right) > MAX_PIECES) throw TemplateLimit{"a list grows too long"};
            return;
        }
        for (const value &operand : operands_) {
            if (is_container(operand)) scope_.check_container(operand);
        }
    } else {
        for (const value &operand : operands_) scope_.spend(container_size(operand) / 16);
    }
}

void Operation::judge_function() {
    const bool passes = passes_on(name_);
    for (const value &operand : operands_) {
        if (passes) {
            scope_.spend(container_size(operand) / 16);
        } else if (is_container(operand) || is_val<jinja::value_kwarg>(operand)) {
            scope_.check_container(operand);
        }
    }
    if (is("range")) judge_range();
    if (is("append") && operands_.size() == 2 && is_array(operands_[0]))
        scope_.check_insertion(operands_[0], operands_[1]);
    if (is_one_of(name_, {"replace", "split", "rsplit", "join", "indent"})) judge_growth();
    if (is("tojson")) judge_json();
    if (is_one_of(name_, {"sort", "dictsort", "min", "max"})) judge_order();
    if (is("slice")) {
        for (const value &operand : operands_) {
            if (is_integer(operand) && std::abs(operand->as_float()) > 2147483648.0)
                throw TemplateLimit{"a slice is too long"};
        }
    }
    if (is_one_of(name_, {"select", "reject", "selectattr", "rejectattr"})) {
        // A test by name, with its argument last.
        const bool divides = std::any_of(operands_.begin(), operands_.end(), [](const value &v) {
            return is_string(v) && v->val_str.str() == "divisibleby";
        });
        const value &last = operands_.back();
        if (divides && is_integer(last) && (last->as_int() == 0 || last->as_int() == -1)) {
            throw TemplateLimit{"it divides by " + std::to_string(last->as_int())};
        }
    }
}

value Operation::option(const char *key, std::size_t position) const {
    for (const value &operand : operands_) {
        const auto *kwarg = cast_val<jinja::value_kwarg>(operand);
        if (kwarg != nullptr && kwarg->key == key) return kwarg->val;
    }
    if (position < operands_.size() && !is_val<jinja::value_kwarg>(operands_[position])) return operands_[position];
    return mk_val<jinja::value_undefined>();
}

void Operation::judge_range() {
    std::array<double, 3> numbers = {0, 0, 1}; // start, stop, step
    const std::size_t n = std::min<std::size_t>(operands_.size(), 3);
    for (std::size_t i = 0; i < n; i++) {
        if (!is_integer(operands_[i])) return;
        numbers[n == 1 ? 1 : i] = operands_[i]->as_float();
        // Beyond, the engine's counting would overflow.
        if (std::abs(operands_[i]->as_float()) > 4e18) throw TemplateLimit{"a range is too long"};
    }
    if (numbers[2] != 0 && (numbers[1] - numbers[0]) / numbers[2] > static_cast<double>(MAX_RANGE)) {
        throw TemplateLimit{"a range is longer than " + std::to_string(MAX_RANGE)};
    }
    scope_.spend(static_cast<std::size_t>(std::max(0.0, numbers[2] == 0 ? 0 : (numbers[1] - numbers[0]) / numbers[2])));
}

// Results that may be far longer than the operands, or need time for each match.
void Operation::judge_growth() {
    if (operands_.empty()) return;
    const value &first = operands_[0];
    if (is("join")) {
        const value delimiter = option("d", 1);
        const std::size_t bytes = is_string(delimiter) ? delimiter->val_str.length() : 0;
        const std::size_t n = container_size(first);
        if (n > 0 && bytes > scope_.max_bytes() / n) scope_.check_size(SIZE_MAX);
        return;
    }
    if (!is_string(first)) return;
    const std::string text = first->val_str.str();
    if (is("indent")) {
        const value width = option("width", 1);
        if (is_integer(width) && width->as_int() > MAX_INDENT) throw TemplateLimit{"it indents too far"};
        const std::size_t bytes = is_string(width) ? width->val_str.length() : static_cast<std::size_t>(MAX_INDENT);
        const std::size_t lines = count_of(text, "\n") + 1;
        if (bytes > scope_.max_bytes() / lines) scope_.check_size(SIZE_MAX);
        return;
    }
    const bool has_argument = operands_.size() > 1 && is_string(operands_[1]);
    const std::string wanted = has_argument ? operands_[1]->val_str.str() : " ";
    scope_.spend_product(text.size(), wanted.size(), COMPARED_PER_UNIT);
    const std::size_t n = count_of(text, wanted);
    scope_.spend_product(n, text.size(), MOVED_PER_UNIT);
    if (!is("replace")) {
        if (n > MAX_PIECES) throw TemplateLimit{"a text is split into too many pieces"};
        scope_.spend(n);
    } else if (operands_.size() > 2 && is_string(operands_[2])) {
        if (operands_[2]->val_str.length() > scope_.max_bytes() / (n + 1)) scope_.check_size(SIZE_MAX);
    }
}

void Operation::judge_json() {
    std::size_t per_node = 16;
    for (const value &operand : operands_) {
        const auto *kwarg = cast_val<jinja::value_kwarg>(operand);
        const value v = kwarg == nullptr ? operand : kwarg->val;
        if (is_integer(v) && v->as_int() > MAX_INDENT) throw TemplateLimit{"it indents too far"};
        if (&operand == &operands_[0]) continue;
        if (is_integer(v)) per_node += static_cast<std::size_t>(std::max<int64_t>(v->as_int(), 0)) * 8;
        for (const value &item : v->val_arr) per_node += is_string(item) ? item->val_str.length() : 0;
    }
    const std::size_t n = operands_.empty() ? 0 : container_size(operands_[0]);
    if (per_node > scope_.max_bytes() / (n + 1)) scope_.check_size(SIZE_MAX);
    scope_.spend_product(n, per_node, 64);
}

// The engine compares without a common order for values of several kinds.
void Operation::judge_order() {
    if (operands_.empty() || container_size(operands_[0]) <= SAFE_TO_SORT) return;
    const value &container = operands_[0];
    scope_.spend_product(container_size(container), 32, 1);
    std::vector<value> keys;
    const value by = option("by", 2);
    for (const auto &item : container->val_obj) {
        keys.push_back(is_string(by) && by->val_str.str() == "value" ? item.second : item.first);
    }
    const value attribute = option("attribute", is("sort") ? 3 : 2);
    for (const value &item : container->val_arr) {
        value key = item;
        if (!attribute->is_undefined()) {
            value missing = mk_val<jinja::value_undefined>();
            key = is_val<jinja::value_object>(item) && is_string(attribute) ? item->at(attribute, missing) : missing;
        }
        keys.push_back(key);
    }
    const bool texts = std::all_of(keys.begin(), keys.end(), is_string);
    const bool numbers = std::all_of(keys.begin(), keys.end(), [](const value &v) {
        return (is_integer(v) || is_val<jinja::value_float>(v)) && !std::isnan(v->as_float());
    });
    if (!texts && !numbers) throw TemplateLimit{"it sorts values of several kinds"};
}

value Operation::finish(value result) {
    if (is_string(result)) {
        scope_.check_string(result);
    } else if (kind_ == OperationKind::LITERAL || is("namespace") || is("dict")) {
        scope_.check_container(result);
    }
    if (!forgets_input()) return result;
    if (!is_string(result) && !is_array(result)) return result;
    if (std::none_of(operands_.begin(), operands_.end(), holds_input)) return result;
    return restore_input(result);
}

bool Operation::forgets_input() const {
    if (operands_.empty()) return false;
    const value &first = operands_[0];
    switch (kind_) {
    case OperationKind::INDEX: return is_string(first);
    case OperationKind::BINARY: return std::any_of(operands_.begin(), operands_.end(), is_container);
    case OperationKind::CALL:
    case OperationKind::FILTER:
        if (name_.empty() || passes_on(name_)) return false;
        if (keeps_parts(name_)) return !is_string(first);
        if (is("slice")) return is_string(first);
        // The arguments keep what they are, and the text around them does not.
        if (is("format")) return holds_input(first);
        return true;
    default: return false;
    }
}

// Where it can be told, each byte of the result is what it was; else all of it
// counts as input.
value Operation::restore_input(const value &result) const {
    const value &first = operands_[0];
    if ((is("split") || is("rsplit")) && is_string(first) && is_array(result) &&
        !first->val_str.all_parts_are_input()) {
        const std::size_t delimiter =
            operands_.size() > 1 && is_string(operands_[1]) ? operands_[1]->val_str.length() : 1;
        auto pieces = mk_val<jinja::value_array>();
        std::size_t at = 0;
        for (const value &piece : result->val_arr) {
            const std::size_t length = piece->val_str.length();
            auto restored = mk_val<jinja::value_string>(cut(first->val_str, at, at + length));
            if (restored->val_str.str() != piece->val_str.str()) return as_input(result);
            pieces->push_back(restored);
            at += length + delimiter;
        }
        return pieces;
    }
    if (is("join") && is_array(first) && is_string(result)) {
        const value delimiter = option("d", 1);
        auto joined = mk_val<jinja::value_string>();
        for (std::size_t i = 0; i < first->val_arr.size(); i++) {
            if (i > 0 && is_string(delimiter)) joined->val_str.append(delimiter->val_str);
            if (is_string(first->val_arr[i])) joined->val_str.append(first->val_arr[i]->val_str);
        }
        // Attributes and numbers come out differently.
        if (joined->val_str.str() == result->val_str.str()) return joined;
    }
    if (is("replace") && is_string(first) && operands_.size() > 2 && is_string(operands_[1]) &&
        is_string(operands_[2])) {
        const std::string from = operands_[1]->val_str.str();
        const std::string to = operands_[2]->val_str.str();
        auto replaced = mk_val<jinja::value_string>();
        if (!from.empty() && !holds_input(operands_[2])) {
            for (jinja::string_part part : first->val_str.parts) {
                jinja::string_replace_all(part.val, from, to);
                replaced->val_str.parts.push_back(part);
            }
            // Matches across parts come out differently.
            if (replaced->val_str.str() == result->val_str.str()) return replaced;
        }
    }
    return as_input(result);
}

} // namespace gpt4all
