// What a template's operations may do, and which of their results stem from
// messages.
#pragma once

#include "template_scope.h"

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace gpt4all {

enum class OperationKind {
    CALL,   // of a function or a method; named once the callee is known
    FILTER, // value | name(arguments)
    TEST,   // value is name(arguments)
    BINARY, // named by its operator
    INDEX,  // value[index] or a slice
    LITERAL // of a list, a tuple or a dictionary
};

// One operation from the evaluation of its first operand to its result. The
// engine forgets where text came from in some of them, and computes whatever
// it is asked to; both is put right here.
class Operation {
public:
    // With `n_operands` known the operation is judged with the last of them.
    Operation(TemplateScope &scope, OperationKind kind, std::string name, std::size_t n_operands);
    ~Operation();
    Operation(const Operation &) = delete;
    Operation &operator=(const Operation &) = delete;

    void add_operand(const jinja::value &operand);
    // A call's function is evaluated last. Methods are bound to a first operand.
    void set_function(const jinja::value_func_t &function);
    jinja::value finish(jinja::value result);

private:
    bool is(const char *name) const { return name_ == name; }
    void judge();
    void judge_function();
    void judge_binary();
    void judge_range();
    void judge_growth();
    void judge_json();
    void judge_order();
    bool forgets_input() const;
    jinja::value restore_input(const jinja::value &result) const;
    jinja::value option(const char *key, std::size_t position) const;

    TemplateScope &scope_;
    OperationKind kind_;
    std::string name_;
    std::size_t n_operands_;
    std::vector<jinja::value> operands_;
    Operation *outer_;
};

} // namespace gpt4all
